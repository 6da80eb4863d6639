"""The backbones that `--architecture`, `--tfhub_module` and `--model_dir` can name."""

from collections.abc import Callable
from pathlib import Path

from retrain.backbones import (
    efficientnet_lite0,
    frozen_graph,
    hub_module,
    keras_applications,
    keras_architectures,
)
from retrain.backbones.backbone import Backbone
from retrain.config import BackboneOptions
from retrain.errors import UserError

DEFAULT = efficientnet_lite0.NAME

# Those that come with the program, in the order in which the help lists them.
_LOADERS: dict[str, Callable[[], Backbone]] = {
    efficientnet_lite0.NAME: efficientnet_lite0.load,
}

_OF_GRAPHS = ("input_layer", "bottleneck_layer")
_OF_FILES = ("input_height", "input_width", "input_mean", "input_std")


def bundled_names() -> tuple[str, ...]:
    """Returns what `load` knows, the default first: the backbones that come with the program."""
    return tuple(_LOADERS)


def architecture_names() -> tuple[str, ...]:
    """Returns the names for `--architecture`, the default first, and a pattern for many."""
    return (*_LOADERS, *keras_architectures.NAMES, keras_architectures.MOBILENET_PATTERN)


def load(name: str) -> Backbone:
    """Returns the backbone of that name, which comes with the program.

    Raises:
        UserError: there is none.
    """
    if name not in _LOADERS:
        raise _unknown(name)
    return _LOADERS[name]()


def resolve(options: BackboneOptions, cache_dir: Path) -> Backbone:
    """Returns the backbone that the options describe.

    Args:
        options: which one.
        cache_dir: where one that has to be converted is kept.

    Raises:
        UserError: there is none, or it cannot be had or used.
    """
    _check(options)
    if options.tfhub_module:
        return hub_module.load(options, cache_dir)
    if options.model_dir:
        return frozen_graph.load(options, cache_dir)
    name = options.architecture
    if name in _LOADERS:
        if options.weights:
            raise UserError(
                f"--weights={options.weights} is for networks of Keras's, but "
                f"--architecture={name} comes with its weights; leave one out"
            )
        return load(name)
    if not keras_applications.is_known(name):
        raise _unknown(name)
    return keras_applications.load(name, options.weights, cache_dir)


def _check(options: BackboneOptions) -> None:
    """Raises UserError where options contradict one another."""
    name = options.architecture
    if options.weights and (options.model_dir or options.tfhub_module):
        raise UserError(
            f"--weights={options.weights} is for networks of Keras's, which --architecture names; "
            "leave it out, or --model_dir and --tfhub_module"
        )
    if options.tfhub_module and (options.model_dir or name != DEFAULT):
        other = "--model_dir" if options.model_dir else f"--architecture={name}"
        raise UserError(
            f"--tfhub_module={options.tfhub_module} is a network, and so is {other}; leave one out"
        )
    if options.model_dir and name not in (DEFAULT, *frozen_graph.ARCHITECTURES):
        raise UserError(
            f"--model_dir={options.model_dir} is for frozen graphs, of which there is none of "
            f"--architecture={name}; leave one out"
        )
    for flag in _OF_GRAPHS:
        if getattr(options, flag) is not None and not options.model_dir:
            raise UserError(
                f"--{flag} is for the graph that --model_dir names, which is missing; leave it out"
            )
    for flag in _OF_FILES:
        if getattr(options, flag) is not None and not (options.model_dir or options.tfhub_module):
            raise UserError(
                f"--{flag} is for networks that --model_dir or --tfhub_module names; "
                f"--architecture={name} knows it"
            )


def _unknown(name: str) -> UserError:
    return UserError(
        f"--architecture={name} is not known; choose one of: {', '.join(architecture_names())}"
    )
