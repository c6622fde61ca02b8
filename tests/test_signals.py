"""Signals that end a program: raised, kept, and given back to the former handlers."""

import signal

import pytest

from geoequiv.cli import command, main
from geoequiv.errors import GeoequivError
from geoequiv.signals import ENDING, Ended, EndOnSignals, no_exit, raise_if_ended

ALL = (signal.SIGINT, *ENDING)


@pytest.mark.parametrize("signum", ALL)
def test_a_signal_ends_and_is_kept(signum):
    before = {each: signal.getsignal(each) for each in ALL}
    expected = KeyboardInterrupt if signum == signal.SIGINT else Ended
    with EndOnSignals() as signals:
        with pytest.raises(expected), no_exit("code"):
            signal.raise_signal(signum)
        assert signals.signum == signum
        with pytest.raises(expected):
            raise_if_ended()
    assert {each: signal.getsignal(each) for each in ALL} == before
    raise_if_ended()  # outside, nothing is known of it


def test_an_ignored_signal_stays_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with EndOnSignals():
            signal.raise_signal(signal.SIGHUP)
            raise_if_ended()
    finally:
        signal.signal(signal.SIGHUP, former)


def test_an_exit_of_other_code_is_an_error():
    with pytest.raises(GeoequivError, match=r"This called sys.exit\(3\)"), no_exit("This"):
        raise SystemExit(3)


@pytest.mark.parametrize("signum", ALL)
@pytest.mark.parametrize("lost", [False, True])
def test_the_exit_status_of_a_command(monkeypatch, capsys, signum, lost):
    def listed():
        try:
            signal.raise_signal(signum)
        except BaseException:
            if not lost:
                raise
        return iter([("a", "b")])

    monkeypatch.setitem(command.listing.LISTS, "groups", listed)
    assert main(["list", "groups"]) == 128 + signum
    expected = "interrupted" if signum == signal.SIGINT else f"ended by {signal.Signals(signum).name}"
    assert f"geoequiv: {expected}." in capsys.readouterr().err
