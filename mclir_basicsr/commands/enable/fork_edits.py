"""The edits that the table of forks names: what becomes of a key in the text of an option file."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ruamel.yaml.nodes import MappingNode, ScalarNode

from mclir_basicsr.commands.enable.option_text import OptionText, entries, get, numbers

_TRUE = ('true', 'yes', 'on')


class Edit(NamedTuple):
    """A key to edit.

    Attributes:
        text: The option file.
        block: In which the key stands.
        key: Its name.
        path: Where it stands, for what is said.
    """

    text: OptionText
    block: MappingNode
    key: str
    path: str

    @property
    def value(self) -> str:
        """Its value as it is written; empty for a block or a list."""
        node = get(self.block, self.key)
        return str(node.value) if isinstance(node, ScalarNode) else ''

    @property
    def is_on(self) -> bool:
        """Whether it is a switch that is on."""
        return self.value.lower() in _TRUE


Action = Callable[[Edit], str]  # makes it, and says what it did; empty where there was nothing to do


def renamed(name: str, *more: str) -> Action:
    """The key has another name here; keys with the same value may come with it."""

    def action(edit: Edit) -> str:
        edit.text.rename(edit.block, edit.key, name)
        if more:
            edit.text.insert(edit.block, edit.key, dict.fromkeys(more, edit.is_on))
        return f'{edit.path} became {" and ".join((name, *more))}'

    return action


def renamed_in(kind: str, name: str) -> Action:
    """The key has another name in a data set of this type."""

    def action(edit: Edit) -> str:
        given = get(edit.block, 'type')
        if given is None or given.value != kind or get(edit.block, name) is not None:
            return ''
        return renamed(name)(edit)

    return action


def moved(block: str) -> Action:
    """The key, a number, has its place in another block, and is left out where that has it too."""

    def action(edit: Edit) -> str:
        home = edit.text.block(block)
        if edit.key in entries(home):
            edit.text.remove(edit.block, edit.key)
            return f'{edit.path} was left out: {block} has {edit.key}, too'
        (value,) = numbers(edit.text, edit.key, get(edit.block, edit.key))
        edit.text.insert(home, list(entries(home))[-1], {edit.key: value})
        edit.text.remove(edit.block, edit.key)
        return f'{edit.path} became {block}.{edit.key}, where it is read'

    return action


def named(names: Mapping[str, str], unknown: Mapping[str, str], without: Mapping[str, tuple[str, str]]) -> Action:
    """The value has another name here, or there is nothing of its kind.

    Args:
        names: New by old.
        unknown: What to say of a value that nothing here stands for.
        without: A key beside a value that the new one does not have, and what to do without it.
    """

    def action(edit: Edit) -> str:
        if edit.value in names:
            edit.text.put(edit.block, edit.key, names[edit.value])
            key, why = without.get(edit.value, ('', ''))
            rest = ''
            if get(edit.block, key) is not None:
                edit.text.remove(edit.block, key)
                rest = f' without {key}: {why}'
            return f'{edit.path}: {edit.value} became {names[edit.value]}{rest}'
        return f'{edit.path}: {edit.value} {unknown[edit.value]}' if edit.value in unknown else ''

    return action


def became(name: str, value: Any) -> Action:
    """A switch that is on becomes another key with this value; one that is off is left out."""

    def action(edit: Edit) -> str:
        if not edit.is_on:
            edit.text.remove(edit.block, edit.key)
            return ''
        edit.text.put(edit.block, edit.key, value, name)
        return f'{edit.path} became {name}'

    return action


def left_out_where_unknown(why: str) -> Action:
    """The key is a loss, which may be of a class that BasicSR has no more, and that the user did not import."""

    def action(edit: Edit) -> str:
        block = get(edit.block, edit.key)
        kind = get(block, 'type') if isinstance(block, MappingNode) else None
        from basicsr.utils.registry import LOSS_REGISTRY

        if kind is None or kind.value in LOSS_REGISTRY:
            return ''
        edit.text.remove(edit.block, edit.key)
        return f'{edit.path} was left out: {kind.value} {why}'

    return action


def left_out(why: str, switch: str = '') -> Action:
    """Nothing here reads the key.

    Args:
        why: What to say.
        switch: A key in the block that it is; with that off, nothing is lost, and nothing is said.
    """

    def action(edit: Edit) -> str:
        block = get(edit.block, edit.key)
        is_off = isinstance(block, MappingNode) and not edit._replace(block=block, key=switch).is_on
        edit.text.remove(edit.block, edit.key)
        return '' if switch and is_off else f'{edit.path} was left out: {why}'

    return action
