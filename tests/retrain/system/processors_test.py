"""Processors are counted within the limits of affinity, control groups and the user."""

import os
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.system.processors import processor_count
from tests.support.python_code import run_python

# Version 2 alone, as /proc/self/mountinfo has it: root, mount point, kind, options.
_MOUNT_2 = "29 23 0:26 {root} {folder} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
_MOUNT_1 = "33 25 0:29 {root} {folder} rw,nosuid shared:11 - cgroup cgroup rw,{controllers}\n"
_MOUNT_OTHER = "23 28 0:21 / /proc rw,relatime shared:13 - proc proc rw\n"


class ProcessorsTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.proc = self.folder / "proc"
        self.proc.mkdir()
        self.groups = self.folder / "cgroup"
        self.groups.mkdir()
        self.enter_context(mock.patch.dict(os.environ))
        os.environ.pop("PYTHON_CPU_COUNT", None)
        schedulable = set(range(64))
        self.enter_context(mock.patch("os.sched_getaffinity", lambda _: schedulable, create=True))

    def describe(self, groups: str, mounts: str) -> None:
        """Writes the two files by which the kernel describes the groups of a process."""
        (self.proc / "cgroup").write_text(groups)
        (self.proc / "mountinfo").write_text(_MOUNT_OTHER + mounts)

    def limit(self, group: str, name: str, value: str) -> None:
        folder = self.groups / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{value}\n")

    def count(self) -> int:
        return processor_count(proc=self.proc)


class ControlGroups2Test(ProcessorsTestCase):
    def setUp(self):
        super().setUp()
        self.describe("0::/a/b\n", _MOUNT_2.format(root="/", folder=self.groups))

    @parameterized.parameters(
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("400000 100000", 4),
        ("10000 20000", 1),
        ("9900000 100000", 64),
        ("max 100000", 64),
    )
    def test_a_quota_is_rounded_up(self, quota, expected):
        self.limit("a/b", "cpu.max", quota)
        self.assertEqual(self.count(), expected)

    @parameterized.parameters("a/b", "a", ".")
    def test_the_smallest_quota_of_all_levels_counts(self, group):
        for other in ("a/b", "a", "."):
            self.limit(other, "cpu.max", "800000 100000")
        self.limit(group, "cpu.max", "300000 100000")
        self.assertEqual(self.count(), 3)

    def test_groups_without_a_quota_are_skipped(self):
        self.limit("a", "cpu.max", "200000 100000")
        self.limit("a/b", "cpu.max", "max 100000")
        self.assertEqual(self.count(), 2)

    def test_quotas_of_other_groups_do_not_count(self):
        self.limit("c", "cpu.max", "100000 100000")
        self.limit("a/b/c", "cpu.max", "100000 100000")
        self.assertEqual(self.count(), 64)

    @parameterized.parameters("/", "/../outside", "/elsewhere")
    def test_a_container_sees_its_own_group_as_the_root(self, group):
        root = "/" if group == "/" else "/docker/1234"
        self.describe(f"0::{group}\n", _MOUNT_2.format(root=root, folder=self.groups))
        self.limit(".", "cpu.max", "200000 100000")
        self.assertEqual(self.count(), 2)

    def test_a_mount_of_a_part_of_the_tree(self):
        self.describe("0::/a/b/c\n", _MOUNT_2.format(root="/a", folder=self.groups))
        self.limit("b/c", "cpu.max", "500000 100000")
        self.limit("b", "cpu.max", "400000 100000")
        self.assertEqual(self.count(), 4)

    def test_spaces_in_paths_are_escaped_by_the_kernel(self):
        folder = self.folder / "a b"
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "cpu.max").write_text("200000 100000\n")
        mount = _MOUNT_2.format(root="/", folder=str(folder).replace(" ", r"\040"))
        self.describe("0::/a/b\n", mount)
        self.assertEqual(self.count(), 2)


class ControlGroups1Test(ProcessorsTestCase):
    def setUp(self):
        super().setUp()
        self.describe(
            "5:memory:/other\n4:cpu,cpuacct:/a/b\n0::/c\n",
            _MOUNT_1.format(root="/", folder=self.folder / "memory", controllers="memory")
            + _MOUNT_1.format(root="/", folder=self.groups, controllers="cpu,cpuacct"),
        )

    @parameterized.parameters(
        ("50000", "100000", 1), ("250000", "100000", 3), ("-1", "100000", 64), ("0", "100000", 64)
    )
    def test_a_quota_is_rounded_up(self, quota, period, expected):
        self.limit("a/b", "cpu.cfs_quota_us", quota)
        self.limit("a/b", "cpu.cfs_period_us", period)
        self.assertEqual(self.count(), expected)

    def test_the_smallest_quota_of_all_levels_counts(self):
        for group, quota in (("a/b", "-1"), ("a", "700000"), (".", "900000")):
            self.limit(group, "cpu.cfs_quota_us", quota)
            self.limit(group, "cpu.cfs_period_us", "100000")
        self.assertEqual(self.count(), 7)

    def test_both_versions_can_be_mounted(self):
        unified = self.folder / "unified"
        (unified / "c").mkdir(parents=True)
        (unified / "c" / "cpu.max").write_text("300000 100000\n")
        mounts = (self.proc / "mountinfo").read_text()
        (self.proc / "mountinfo").write_text(mounts + _MOUNT_2.format(root="/", folder=unified))
        self.limit("a/b", "cpu.cfs_quota_us", "500000")
        self.limit("a/b", "cpu.cfs_period_us", "100000")
        self.assertEqual(self.count(), 3)


class ProcessorCountTest(ProcessorsTestCase):
    def test_without_control_groups_affinity_counts(self):
        self.assertEqual(self.count(), 64)

    def test_descriptions_that_are_not_understood_are_ignored(self):
        self.describe("0::/\n", "an unknown format\n")
        self.assertEqual(self.count(), 64)
        self.describe("unknown\n", _MOUNT_2.format(root="/", folder=self.groups))
        self.assertEqual(self.count(), 64)
        self.describe("0::/\n", _MOUNT_2.format(root="/", folder=self.groups))
        self.limit(".", "cpu.max", "half 100000")
        self.assertEqual(self.count(), 64)

    def test_fewer_schedulable_processors_than_the_quota(self):
        self.describe("0::/\n", _MOUNT_2.format(root="/", folder=self.groups))
        self.limit(".", "cpu.max", "800000 100000")
        with mock.patch("os.sched_getaffinity", lambda _: {0, 5}, create=True):
            self.assertEqual(self.count(), 2)

    @parameterized.parameters(("3", 3), ("100", 100), ("default", 64), ("0", 64), ("", 64))
    def test_the_variable_of_python_takes_precedence(self, value, expected):
        self.describe("0::/\n", _MOUNT_2.format(root="/", folder=self.groups))
        self.limit(".", "cpu.max", "max 100000")
        with mock.patch.dict(os.environ, {"PYTHON_CPU_COUNT": value}):
            self.assertEqual(self.count(), expected)

    def test_the_option_of_python_takes_precedence(self):
        with mock.patch.dict("sys._xoptions", {"cpu_count": "5"}):
            self.assertEqual(self.count(), 5)


class RealProcessTest(absltest.TestCase):
    def test_this_process_has_a_processor(self):
        self.assertBetween(processor_count(), 1, os.cpu_count())

    def test_affinity_is_respected(self):
        done = run_python(
            """
import os
from retrain.system.processors import processor_count
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(processor_count())
else:
    print(1)
"""
        )
        self.assertEqual(done.stdout, "1\n", done.stderr)


if __name__ == "__main__":
    absltest.main()
