"""What is printed of progress where nothing can move: a plain line a minute, on standard error."""

from sfumato import progress
from sfumato.cli import terminal


def test_a_long_command_tells_its_progress_once_a_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    with terminal.progress_bar("certifying", 300) as bar:
        for image in range(300):
            now[0] += 1.0
            bar.advance(note=f"image {image}: radius 0.5")
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.splitlines() == [
        f"certifying: {60 * minute} of 300 after {minute} min"
        + (f", about {5 - minute} min left" if minute < 5 else "")
        + f"; image {60 * minute - 1}: radius 0.5"
        for minute in range(1, 6)
    ]


def test_a_short_or_quiet_command_tells_nothing(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    with terminal.progress_bar("certifying", 50) as bar:
        for _ in range(50):
            now[0] += 1.0
            bar.advance()
    monkeypatch.setattr(terminal, "LEVEL", terminal.Level(quiet=True))
    with terminal.progress_bar("certifying", 2) as bar:
        now[0] += 1000.0
        bar.advance(2)
    assert capsys.readouterr().err == ""
