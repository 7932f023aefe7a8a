"""From a setting's location to the place in the file where it was written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from config import nodes
from config.problems import Mark

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The deepest node on the way to a location. ``steps`` lead to it in the tree at hand, ``path`` in the
    file it was written in. ``key`` is where its key stands (for an item of a list, where it begins)."""

    node: nodes.Node
    key: Mark
    steps: Steps
    path: Steps

    @property
    def value(self) -> Mark:
        return self.node.mark


def locate(root: nodes.Node, location: Sequence[str | int]) -> Place:
    """Walk ``location``, passing over steps that the tree does not have: Pydantic puts the tags of
    discriminated unions between keys, and defaults stand in no file."""
    place = Place(root, root.mark, (), ())
    for step in location:
        node = place.node
        if isinstance(node, nodes.Mapping) and isinstance(step, str) and step in node.items:
            place = Place(node.items[step], node.keys[step], (*place.steps, step), (*place.path, step))
        elif isinstance(node, nodes.Sequence) and isinstance(step, int) and step < len(node.items):
            item = node.items[step]
            number = node.numbers[step] if node.numbers else step
            place = Place(item, item.mark, (*place.steps, step), (*place.path, number))
    return place


def pruned(node: nodes.Node, drop: Collection[Steps], at: Steps = ()) -> nodes.Node:
    """A copy of the tree without the nodes at ``drop``; what is left keeps its places."""
    if isinstance(node, nodes.Mapping):
        mapping = nodes.Mapping(node.mark)
        for key, item in node.items.items():
            if (*at, key) not in drop:
                mapping.put(key, node.keys[key], pruned(item, drop, (*at, key)))
        return mapping
    if isinstance(node, nodes.Sequence):
        kept = [index for index in range(len(node.items)) if (*at, index) not in drop]
        return nodes.Sequence(
            node.mark,
            [pruned(node.items[index], drop, (*at, index)) for index in kept],
            [node.numbers[index] if node.numbers else index for index in kept],
        )
    return node
