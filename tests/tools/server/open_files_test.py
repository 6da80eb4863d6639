"""The limit of open files is raised for the connections of the server as far as possible."""

import subprocess
import sys

from absl.testing import absltest, parameterized

_CODE = """
import resource, sys
from tools.server.open_files import reserve_connections
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(reserve_connections(500), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


class OpenFilesTest(parameterized.TestCase):
    @parameterized.parameters((256, 1024, 500, 650), (256, 400, 250, 400), (900, 1024, 500, 900))
    def test_connections_get_what_the_limit_allows(self, soft, hard, connections, raised):
        done = subprocess.run(
            [sys.executable, "-c", _CODE, str(soft), str(hard)],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(done.stdout.split(), [str(connections), str(raised)])


if __name__ == "__main__":
    absltest.main()
