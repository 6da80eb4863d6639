"""The manifest for KubeRay starts what the programs need."""

import re
import shlex
from pathlib import Path

import yaml
from absl.testing import absltest

from retrain.system import optional_packages
from tests.support import programs

_MANIFEST = Path("deploy/kuberay.yaml")


class KubeRayManifestTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        documents = list(yaml.safe_load_all(_MANIFEST.read_text()))
        self.by_kind = {document["kind"]: document for document in documents}
        self.assertLen(self.by_kind, len(documents))
        spec = self.by_kind["RayCluster"]["spec"]
        self.groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]

    def pods(self) -> list[dict]:
        job = self.by_kind["Job"]["spec"]
        return [group["template"] for group in (*self.groups, job)]

    def test_the_cluster_has_the_fields_of_its_resource(self):
        cluster = self.by_kind["RayCluster"]
        self.assertEqual(cluster["apiVersion"], "ray.io/v1")
        self.assertContainsSubset(cluster["spec"], {"headGroupSpec", "workerGroupSpecs"})
        head, workers = self.groups
        self.assertEqual(set(head), {"rayStartParams", "template"})
        self.assertEqual(
            set(workers),
            {
                *("groupName", "replicas", "minReplicas", "maxReplicas"),
                *("rayStartParams", "template"),
            },
        )
        self.assertBetween(workers["replicas"], workers["minReplicas"], workers["maxReplicas"])

    def test_parameters_are_texts_and_options_of_ray(self):
        optional_packages.require("ray", purpose="this test")
        from ray.scripts import scripts

        options = {name for option in scripts.start.params for name in option.opts}
        for group in self.groups:
            for name, value in group["rayStartParams"].items():
                self.assertIsInstance(value, str)
                self.assertIn(f"--{name}", options)

    def test_all_pods_use_the_same_image_and_can_reach_each_other(self):
        policy = self.by_kind["NetworkPolicy"]["spec"]
        labels = policy["podSelector"]["matchLabels"]
        self.assertEqual(policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"], labels)
        images = set()
        for pod in self.pods():
            self.assertLessEqual(labels.items(), pod["metadata"]["labels"].items())
            (container,) = pod["spec"]["containers"]
            images.add(container["image"])
            self.assertTrue(pod["spec"]["securityContext"]["runAsNonRoot"])
            self.assertEqual(container["resources"]["requests"], container["resources"]["limits"])
        self.assertLen(images, 1)

    def test_probes_use_ports_that_ray_opens(self):
        for group in self.groups:
            (container,) = group["template"]["spec"]["containers"]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            manager = int(group["rayStartParams"]["node-manager-port"])
            for probe in ("readinessProbe", "livenessProbe"):
                self.assertEqual(ports[container[probe]["tcpSocket"]["port"]], manager)

    def test_the_job_connects_to_the_head_and_uses_existing_flags(self):
        (container,) = self.by_kind["Job"]["spec"]["template"]["spec"]["containers"]
        start, program = container["args"][0].split("&&")
        name = self.by_kind["RayCluster"]["metadata"]["name"]
        self.assertIn(f"--address={name}-head-svc:6379", start)
        command, *arguments = shlex.split(program)
        self.assertEqual(command, "cache_bottlenecks")
        text = programs.run("cache_bottlenecks", "--help").stdout
        for argument in arguments:
            self.assertRegex(text, rf"(?m)^  {argument.partition('=')[0]}\b")

    def test_the_image_has_the_programs(self):
        text = Path("docker/Dockerfile.cluster").read_text()
        for program in ("ray", "cache_bottlenecks", "label_many"):
            self.assertIn(f"//tools:{program}", text)
            self.assertIn(f"bazel-bin/tools/{program}", text)
        self.assertIn("//tools:ray", optional_packages.INSTALL_COMMAND)
        self.assertEmpty(re.findall(r"COPY (?!\. |--from)", text))


if __name__ == "__main__":
    absltest.main()
