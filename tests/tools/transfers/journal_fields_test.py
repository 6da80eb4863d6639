"""Plans of this and of earlier versions are read, and damaged ones are refused."""

import dataclasses
import json
from typing import Any

from absl.testing import absltest, parameterized

from tools.transfers import journal_fields
from tools.transfers.plan import Plan

_DIGEST = "0123456789abcdef" * 4
_PLAN = Plan("a.jpg", "unknown/a.jpg", "x", 0.9, None, [0.9, 0.1], _DIGEST, 0.001, is_unknown=True)


def _fields(plan: Plan) -> list[Any]:
    return json.loads(json.dumps(dataclasses.astuple(plan)))


class JournalFieldsTest(parameterized.TestCase):
    def test_a_plan_is_read_as_it_was_written(self):
        for plan in (_PLAN, Plan("b.jpg", error="it is damaged", scores=[])):
            self.assertEqual(journal_fields.parse_plan(_fields(plan)), plan)

    @parameterized.parameters((6, None), (7, _DIGEST))
    def test_earlier_versions_recorded_less(self, count: int, digest: str | None):
        expected = dataclasses.replace(_PLAN, digest=digest, familiarity=None, is_unknown=False)
        self.assertEqual(journal_fields.parse_plan(_fields(_PLAN)[:count]), expected)

    @parameterized.parameters(
        (3, "0.9"), (3, True), (5, [None]), (6, "x"), (7, "0.1"), (7, False), (8, 1), (8, None)
    )
    def test_damaged_fields_are_refused(self, index: int, value: object):
        fields = _fields(_PLAN)
        fields[index] = value
        with self.assertRaises(ValueError):
            journal_fields.parse_plan(fields)

    def test_too_few_and_too_many_fields_are_refused(self):
        for fields in (_fields(_PLAN)[:5], [*_fields(_PLAN), 1]):
            with self.assertRaises(ValueError):
                journal_fields.parse_plan(fields)


if __name__ == "__main__":
    absltest.main()
