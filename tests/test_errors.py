import pytest

from drip_lightning.errors import DripError, InputError, RunError, Stopped, raised_as, reason_of


def test_a_mistake_and_a_failed_run_are_siblings() -> None:
    assert not issubclass(InputError, RunError)
    assert not issubclass(RunError, InputError)
    assert {InputError, RunError, Stopped} <= set(DripError.__subclasses__())


def test_a_library_error_becomes_one_line_and_keeps_its_cause() -> None:
    cause = ValueError("it is wrong\nhere is how\n  it came about")
    with (
        pytest.raises(RunError, match=r"^cannot load x \(it is wrong\)$") as caught,
        raised_as(RunError, ValueError, message=lambda reason: f"cannot load x ({reason})"),
    ):
        raise cause
    assert caught.value.__cause__ is cause


def test_other_errors_and_the_project_s_own_pass_unchanged() -> None:
    for error in (KeyError("x"), InputError("said already")):  # an `InputError` is a `ValueError`, too
        with pytest.raises(type(error)) as caught, raised_as(RunError, ValueError, message=str):
            raise error
        assert caught.value is error


def test_every_exception_has_a_reason() -> None:
    assert reason_of(OSError(28, "No space left on device", "/a/file")) == "No space left on device"
    assert reason_of(ValueError("\n first\nsecond")) == "first"
    assert reason_of(EOFError()) == "EOFError"
