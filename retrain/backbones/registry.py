"""Selects the backbone that `--architecture`, `--tfhub_module` or `--model_dir` names."""

import dataclasses
from pathlib import Path

from retrain.backbones import (
    efficientnet_lite,
    efficientnet_lite0,
    frozen_graph,
    hub_module,
    keras_applications,
    keras_architectures,
)
from retrain.backbones.backbone import Backbone
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.metadata import STRETCH

DEFAULT = efficientnet_lite0.NAME

_GRAPH_OPTIONS = ("input_layer", "bottleneck_layer")
_INPUT_OPTIONS = ("input_height", "input_width", "input_mean", "input_std")


def architecture_names() -> tuple[str, ...]:
    """Returns the values of `--architecture` in the order of the help, the default first.

    The last one is a pattern that stands for all MobileNets of version 1.
    """
    return (
        DEFAULT,
        *efficientnet_lite.DOWNLOADED_NAMES,
        *keras_architectures.NAMES,
        keras_architectures.MOBILENET_PATTERN,
    )


def is_architecture(name: str) -> bool:
    """Returns whether `--architecture` can name a network of this name."""
    return efficientnet_lite.is_known(name) or keras_applications.is_known(name)


def resolve(options: BackboneOptions, cache_dir: Path) -> Backbone:
    """Returns the backbone that the options name.

    Args:
        options: Which network to load.
        cache_dir: Folder of the cache, where converted networks are kept.

    Raises:
        UserError: If the options contradict each other, or if the network cannot be found or used.
    """
    _check(options)
    backbone = _load(options, cache_dir)
    if options.model_dir is None:
        backbone = dataclasses.replace(backbone, fit=options.fit or STRETCH)
    if backbone.needs_trust and not options.trust_model:
        raise UserError(
            f"the network {options.name} is not run: it does more than compute, and was prepared "
            "with --trust_model; set the flag again only if you trust its author"
        )
    return backbone if options.uses_stages else backbone.without_stages()


def _load(options: BackboneOptions, cache_dir: Path) -> Backbone:
    if options.tfhub_module:
        return hub_module.load(options, cache_dir)
    if options.model_dir:
        return frozen_graph.load(options, cache_dir)
    name = options.architecture
    if efficientnet_lite.is_known(name):
        load_named = efficientnet_lite.load
    elif keras_applications.is_known(name):
        load_named = keras_applications.load
    else:
        raise _unknown(name)
    return load_named(
        name, weights=options.weights, input_size=options.input_size, cache_dir=cache_dir
    )


def _check(options: BackboneOptions) -> None:
    """Raises UserError if options contradict each other."""
    name = options.architecture
    if options.weights and (options.model_dir or options.tfhub_module):
        other = "--model_dir" if options.model_dir else "--tfhub_module"
        raise UserError(
            f"--weights={options.weights} is for Keras networks, which --architecture names; use "
            f"only one of --weights and {other}"
        )
    if options.tfhub_module and (options.model_dir or name != DEFAULT):
        other = "--model_dir" if options.model_dir else f"--architecture={name}"
        raise UserError(
            f"--tfhub_module={options.tfhub_module} names a network, and so does {other}; use only "
            "one of the two flags"
        )
    if options.model_dir and name not in (DEFAULT, *frozen_graph.ARCHITECTURES):
        raise UserError(
            f"--model_dir={options.model_dir} is for frozen graphs, which do not exist for "
            f"--architecture={name}; use only one of the two flags"
        )
    if options.input_size and (options.model_dir or options.tfhub_module):
        other = "--model_dir" if options.model_dir else "--tfhub_module"
        raise UserError(
            f"--input_size={options.input_size} is for networks that --architecture names; use "
            f"--input_height and --input_width with {other}"
        )
    for flag in _GRAPH_OPTIONS:
        if getattr(options, flag) is not None and not options.model_dir:
            raise UserError(
                f"--{flag} needs --model_dir, which names the graph with the layer; set it, or "
                f"leave out --{flag}"
            )
    for flag in _INPUT_OPTIONS:
        if getattr(options, flag) is not None and not (options.model_dir or options.tfhub_module):
            raise UserError(
                f"--{flag} needs --model_dir or --tfhub_module, since --architecture={name} "
                f"defines its own input; leave out --{flag}, or set --input_size"
            )


def _unknown(name: str) -> UserError:
    return UserError(
        f"--architecture={name} is not known; choose one of: {', '.join(architecture_names())}"
    )
