"""What holds in all tests."""

from hypothesis import settings


def pytest_configure() -> None:
    """Give an example of hypothesis all the time that a busy machine makes it take, which is 200 ms otherwise.

    `timeout` in pyproject.toml bounds the test.
    """
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
