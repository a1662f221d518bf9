from edgewire.iothub import limits


def test_figures_of_iot_hub() -> None:
    assert limits.MAX_MESSAGE_BYTES == 256 * 1024
    assert limits.MAX_C2D_MESSAGE_BYTES == 64 * 1024
    assert limits.MAX_ID_CHARS == 128
    assert limits.TOKEN_SKEW_S == 300
