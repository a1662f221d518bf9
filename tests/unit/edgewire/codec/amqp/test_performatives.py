from edgewire.codec.amqp import performatives as p


def test_credentials_do_not_show_in_a_text() -> None:
    made = p.SaslInit(mechanism="PLAIN", initial_response=b"secret", hostname="h")
    assert "secret" not in repr(made)
    assert "PLAIN" in repr(made)
    assert "secret" not in repr(p.SaslResponse(b"secret"))


def test_defaults_are_those_of_the_specification() -> None:
    attach = p.Attach(name="n", handle=0, role=p.SENDER)
    assert (attach.snd_settle_mode, attach.rcv_settle_mode) == (p.MIXED, p.FIRST)
    assert p.Open(container_id="c").max_frame_size == p.UINT_MAX
    assert p.Source().expiry_policy == "session-end"
