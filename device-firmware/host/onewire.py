# A bus with nothing to know about it.
class OneWire:
    def __init__(self, pin):
        pass
