"""Records carry a checksum: no wrong bit of one gives other numbers without a word."""

import json
import random

from geoequiv.records import LeftOut, Record
from geoequiv.records.reading import parsed


def test_no_wrong_bit_goes_unnoticed(record):
    finished = record()
    for text in (finished.text(), finished.text(indent=1)):
        content = text.encode()
        assert parsed(text, "here") == finished.changed(path="here")
        left_out = 0
        for bit in random.Random(0).sample(range(8 * len(content)), 400):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                read = parsed(changed.decode(), "here")
            except UnicodeDecodeError:
                left_out += 1
                continue
            if isinstance(read, Record):  # white space, or the name of the checksum itself
                assert read == finished.changed(path="here")
            left_out += isinstance(read, LeftOut)
        assert left_out > 300


def test_a_record_without_a_checksum_is_read(record):
    finished = record()
    content = json.loads(finished.text())
    content["seed"] += 1
    refused = parsed(json.dumps(content), "here")
    assert isinstance(refused, LeftOut)
    assert "its checksum does not match (without the key `checksum` it is read)" in refused.reason
    del content["checksum"]
    assert parsed(json.dumps(content), "here").seed == finished.seed + 1
