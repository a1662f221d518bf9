# Readings that wait for the gateway, oldest first, in one buffer that is made once: a heap this small must not
# fragment. When it is full the oldest go, counted. Cost: 0.6 KB .mpy, 0.4 KB of heap and the buffer.


class Queue:
    def __init__(self, size):
        self._room = memoryview(bytearray(size))
        self._head = self._tail = 0
        self.count = 0
        self.dropped = 0
        self.gone = 0  # sent or dropped: the number of the oldest that is there

    def put(self, data):
        size = len(data) + 1
        if size > len(self._room) or size > 256:
            self.dropped += 1
            return
        while size > len(self._room) - (self._tail - self._head):
            self.pop()
            self.dropped += 1
        if self._tail + size > len(self._room):
            kept = self._tail - self._head
            self._room[:kept] = self._room[self._head : self._tail]
            self._head = 0
            self._tail = kept
        self._room[self._tail] = size - 1
        self._room[self._tail + 1 : self._tail + size] = data
        self._tail += size
        self.count += 1

    def peek(self):
        # A view of the oldest, until the next `put` or `pop`; None where there is none.
        if not self.count:
            return None
        return self._room[self._head + 1 : self._head + 1 + self._room[self._head]]

    def newest(self, size):
        # What fits into so many bytes, to outlive a deep sleep; `restore` takes it back.
        while self._tail - self._head > size:
            self.pop()
            self.dropped += 1
        return bytes(self._room[self._head : self._tail])

    def restore(self, data):
        at = 0
        while at < len(data) and at + data[at] < len(data):
            self.put(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]

    def pop(self):
        self._head += 1 + self._room[self._head]
        self.count -= 1
        self.gone += 1
