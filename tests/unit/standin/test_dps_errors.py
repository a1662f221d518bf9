from standin.dps_errors import THROTTLED, DpsError


def test_a_refusal_has_the_form_of_the_clouds() -> None:
    error = DpsError(THROTTLED, "too many", retry_after_s=3)
    assert (error.status, error.retry_after_s) == (429, 3)
    body = error.to_json("2027-01-15T08:00:00.0000000Z")
    assert len(body.pop("trackingId")) == 36
    assert body == {
        "errorCode": 429001,
        "message": "too many",
        "info": {},
        "timestampUtc": "2027-01-15T08:00:00.0000000Z",
    }
