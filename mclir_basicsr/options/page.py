"""The page docs/options.md, made of the structs."""

from typing import Any

from pydantic import BaseModel

from mclir_basicsr.options.structs import TOP_KEYS, OwnOptions, PathOptions, TrainOptions, ValOptions, struct_of


def reference_page() -> str:
    """The reference of our option keys, in Markdown."""
    lines = [
        '# Option file: the keys of mclir_basicsr',
        '',
        "Everything else is BasicSR's own. Made from `mclir_basicsr/options/structs.py`.",
    ]
    blocks: list[tuple[str, type[BaseModel]]] = [
        ('', OwnOptions),
        ('train', TrainOptions),
        ('val', ValOptions),
        ('path', PathOptions),
    ]
    for path, struct in blocks:
        lines += [
            '',
            f'## {path or "the top of the file"}',
            '',
            struct.__doc__ or '',
            '',
            '| key | default | what |',
            '|---|---|---|',
        ]
        for key, field in struct.model_fields.items():
            if not path and key not in TOP_KEYS:
                continue
            inner = struct_of(struct, key)
            if inner is not None and all(inner is not known for _, known in blocks):
                blocks.append((f'{path}.{key}', inner))
            default = '(required)' if field.is_required() else f'`{_yaml(key, field.default)}`'
            lines.append(f'| `{key}` | {default} | {field.description} |')
    return '\n'.join(lines) + '\n'


def _yaml(key: str, value: Any) -> str:
    if value is None:
        return {'per_step': 'all', 'pad_multiple': 'auto'}.get(key, '~')
    if isinstance(value, dict):
        return '{' + ', '.join(f'{k}: {v}' for k, v in value.items()) + '}'
    return str(value).lower() if isinstance(value, bool) else str(value)
