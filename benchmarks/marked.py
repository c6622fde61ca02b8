"""Pages whose numbers are generated: what stands between two marks is replaced, the prose around it stays."""

import re
from collections.abc import Mapping
from pathlib import Path


def filled(page: str, mark: str, text: str) -> str:
    """The page with a text between ``<!-- MARK -->`` and ``<!-- /MARK -->``, which stand in it once."""
    pattern = re.compile(rf"(<!-- {mark} -->).*?(<!-- /{mark} -->)", re.DOTALL)
    if len(pattern.findall(page)) != 1 or page.count(f"<!-- {mark} -->") != 1:
        raise SystemExit(f"The page needs one '<!-- {mark} -->' and one '<!-- /{mark} -->'.")
    return pattern.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page)


def fill(path: Path, texts: Mapping[str, str]) -> None:
    """Write each text between the marks of its name."""
    page = path.read_text(encoding="utf-8")
    for mark, text in texts.items():
        page = filled(page, mark, text)
    path.write_text(page, encoding="utf-8")
