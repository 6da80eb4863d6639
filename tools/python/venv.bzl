"""A Python toolchain whose interpreter has the packages of a hash-locked requirements file.

The packages are installed once, into a virtual environment in the folder of the external repository. The name of the
environment contains the version of Python and a digest of the lock file, so that Bazel does not reuse test results of
another version of either. Each package in the lock file has an empty library, `@pip//:the_name`: depending on it costs
nothing, and a name that is not in the lock file is an error.
"""

# In order of preference: the versions that are tested most come first. `python3` is tried last.
_VERSIONS = ["3.11", "3.12", "3.13", "3.10"]

_BUILD = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

py_runtime(
    name = "python3",
    interpreter_path = "{python}",
    python_version = "PY3",
    stub_shebang = "#!{python}",
)

py_runtime_pair(
    name = "runtimes",
    py3_runtime = ":python3",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtimes",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)

[py_library(name = name) for name in {packages}]
"""

# Python runs this line when it starts. Without it, importing TensorFlow takes a quarter longer, because Python looks for
# garbage after each 700 new objects, and the process ends a second later, because Python looks for garbage once more.
# retrain/system/program/command_line.py does the same for programs; most tests are processes without it.
_GARBAGE_COLLECTION = "import atexit, gc; atexit.register(gc.freeze); gc.set_threshold(50_000, 20, 20)\n"

_PACKAGES_BUILD = """\
package(default_visibility = ["//visibility:public"])

[py_library(name = name) for name in {packages}]
"""

_WHEELS_BUILD = """\
filegroup(
    name = "wheels",
    srcs = glob(["wheels/*.whl"]),
    visibility = ["//visibility:public"],
)
"""

# Every Python 3 must be able to print the first line.
_PROBE = """
import sys
print("%d.%d.%d" % sys.version_info[:3])
import ensurepip, venv
"""

_DIGEST = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest()[:12])"

_NO_PYTHON = """

Found no Python {versions} with the venv module. Tried:
  {tried}
Install one (Debian, Ubuntu: apt-get install python3-venv; macOS: brew install python@3.12),
or set the path of one: export RETRAIN_PYTHON=/path/to/python3
"""

def _last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"

def _candidates(ctx):
    """Returns all files that could be a Python, in order of preference, so that a broken one does not hide a later one."""
    selected = ctx.os.environ.get("RETRAIN_PYTHON")
    if selected:
        return [ctx.path(selected)] if selected.startswith("/") else fail("RETRAIN_PYTHON is not an absolute path: " + selected)
    folders = [f for f in ctx.os.environ.get("PATH", "").split(":") if f.startswith("/")]
    names = ["python" + version for version in _VERSIONS] + ["python3"]
    paths = [ctx.path(folder + "/" + name) for name in names for folder in folders]
    return [path for path in paths if path.exists]

def _find_python(ctx):
    """Returns the path of the first suitable Python, and its version."""
    tried = {}
    for path in _candidates(ctx):
        if str(path.realpath) in tried:
            continue
        probe = ctx.execute([path, "-I", "-c", _PROBE])
        version = probe.stdout.strip()
        if version.rpartition(".")[0] not in _VERSIONS:
            problem = version or "does not run: " + _last_line(probe.stderr)
        elif probe.return_code:
            problem = "%s, but it has no venv module: %s" % (version, _last_line(probe.stderr))
        else:
            return path, version
        tried[str(path.realpath)] = "%s: %s" % (path, problem)
    fail(_NO_PYTHON.format(
        versions = ", ".join(sorted(_VERSIONS)),
        tried = "\n  ".join(tried.values() or ["no python3 on PATH"]),
    ))

def _run(ctx, description, command):
    ctx.report_progress(description)
    done = ctx.execute(command, timeout = 3600)
    if done.return_code:
        # For a wrong hash, pip lists all correct ones, which hide the name of the package.
        lines = [line for line in done.stderr.splitlines() if "Expected     or" not in line]
        fail("\n\n%s failed:\n  %s\n" % (description, "\n  ".join(lines[-15:])))
    return done.stdout.strip()

def _create_venv(ctx, base_python, name):
    """Creates a virtual environment, and returns the path of its Python."""
    venv = ctx.path(name)
    _run(ctx, "Creating a virtual environment", [base_python, "-I", "-m", "venv", venv])
    return str(venv) + "/bin/python3"

def _run_pip(ctx, description, python, command, arguments):
    """Runs a command of pip on the packages of a lock file."""
    _run(ctx, description, [
        python,
        "-I",
        "-m",
        "pip",
        command,
        "--disable-pip-version-check",
        "--no-input",
        "--only-binary=:all:",
        "--progress-bar=off",
        "--require-hashes",
        "--requirement",
        ctx.path(ctx.attr.requirements),
    ] + arguments)

def _names(ctx, lock):
    """Returns the names of the libraries for the packages of a lock file."""
    packages = {}
    for line in ctx.read(lock).splitlines():
        name, pinned, _ = line.partition("==")
        if pinned and name[0] not in " #":
            packages[name.replace("-", "_").replace(".", "_")] = None
    return packages.keys()

def _python_venv_impl(ctx):
    base_python, version = _find_python(ctx)
    lock = ctx.path(ctx.attr.requirements)
    digest = _run(ctx, "Reading " + lock.basename, [base_python, "-I", "-c", _DIGEST, lock])
    venv = "venv-%s-%s" % (version, digest)
    python = _create_venv(ctx, base_python, venv)
    packages = "%s/lib/python%s/site-packages" % (venv, version.rpartition(".")[0])
    ctx.file(packages + "/garbage_collection.pth", _GARBAGE_COLLECTION)
    description = "Installing %s (downloads 400 MB the first time)" % lock.basename
    _run_pip(ctx, description, python, "install", ["--no-user", "--no-compile"])

    # Uses all processors, which pip does not. Some packages contain files for other versions of Python, which fail.
    ctx.report_progress("Compiling the packages")
    ctx.execute([python, "-I", "-m", "compileall", "-q", "-j", "0", ctx.path(packages)], timeout = 3600)
    ctx.file("BUILD", _BUILD.format(python = python, packages = _names(ctx, lock)))

python_venv = repository_rule(
    implementation = _python_venv_impl,
    attrs = {"requirements": attr.label(mandatory = True, allow_single_file = True)},
    # PATH is not listed: it differs between terminals, and each change would install the packages again.
    environ = ["RETRAIN_PYTHON"],
)

def _python_wheels_impl(ctx):
    base_python, _ = _find_python(ctx)
    python = _create_venv(ctx, base_python, "venv")
    folder = ctx.path("wheels")
    _run_pip(ctx, "Downloading wheels", python, "download", ["--no-deps", "--dest", folder])
    ctx.delete("venv")
    ctx.file("BUILD", _WHEELS_BUILD)

python_wheels = repository_rule(
    doc = "The wheels of a hash-locked requirements file, which are not installed.",
    implementation = _python_wheels_impl,
    attrs = {"requirements": attr.label(mandatory = True, allow_single_file = True)},
    environ = ["RETRAIN_PYTHON"],
)

def _python_packages_impl(ctx):
    base_python, version = _find_python(ctx)
    python = _create_venv(ctx, base_python, "venv")
    lock = ctx.path(ctx.attr.requirements)

    # retrain/system/optional_packages.py looks for this folder.
    folder = ctx.path("packages-" + version.rpartition(".")[0])
    description = "Installing %s (downloads %s)" % (lock.basename, ctx.attr.download_size)
    _run_pip(ctx, description, python, "install", ["--no-deps", "--target", folder])
    ctx.delete("venv")
    ctx.file("BUILD", _PACKAGES_BUILD.format(packages = _names(ctx, lock)))

python_packages = repository_rule(
    doc = """The packages of a hash-locked requirements file, which programs add to those of `python_venv` themselves.

    Bazel installs them when it builds a target that depends on one of them.""",
    implementation = _python_packages_impl,
    attrs = {
        "download_size": attr.string(mandatory = True),
        "requirements": attr.label(mandatory = True, allow_single_file = True),
    },
    environ = ["RETRAIN_PYTHON"],
)
