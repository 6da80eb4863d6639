"""The engine plan has a head for the graph, and one for int8 features if needed."""

from absl.testing import absltest, parameterized

from retrain.backbones import engines
from retrain.errors import UserError
from retrain.training.engine_plan import EnginePlan, plan_engines


class EnginePlanTest(parameterized.TestCase):
    @parameterized.parameters(engines.FLOAT32, engines.TENSORFLOW)
    def test_an_engine_for_graphs_is_the_primary_one(self, name):
        self.assertEqual(plan_engines(name, int8_export=False), EnginePlan(name))
        self.assertEqual(plan_engines(name, int8_export=False).engines, (name,))

    def test_an_int8_export_adds_int8_features(self):
        plan = plan_engines(engines.FLOAT32, int8_export=True)
        self.assertEqual(plan, EnginePlan(engines.FLOAT32, int8=True))
        self.assertEqual(plan.engines, (engines.INT8, engines.FLOAT32))

    @parameterized.parameters(True, False)
    def test_the_graph_of_an_int8_run_has_a_floating_point_engine(self, int8_export):
        plan = plan_engines(engines.INT8, int8_export=int8_export)
        self.assertEqual(plan.primary, engines.resolve(engines.AUTO))
        self.assertTrue(plan.int8)

    def test_an_unknown_engine_is_refused(self):
        with self.assertRaisesRegex(UserError, "--engine=steam"):
            plan_engines("steam", int8_export=False)


if __name__ == "__main__":
    absltest.main()
