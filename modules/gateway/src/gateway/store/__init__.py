"""Messages safe on disk: appended before they are acknowledged, given back once every endpoint answered for them.

What holds
- `append` calls back STORED only after fdatasync. FULL or FAILED: nothing of the batch is kept. A sync that failed is
  never believed: its segment is cut at the last good batch and not written again; the next batch opens a new one.
- A message is written once. Each queue (endpoint and priority) has its own position in it; order inside a queue is the
  order of the appends, by sequence, never by clock. Sequences and entry ids stay the same across restarts.
- Memory does not grow with the backlog: a queue holds one batch, and what is taken and unsettled (bounded).
- Disk never holds more than `max_bytes` plus one segment (files set aside by `repair` not counted).
- After any crash: no stored message is lost or reordered; what was settled less than `checkpoint_s` ago may come again.

Entry points: `store.Store.open`, `reader.Reader`, `values` (limits, results, status), `status.read_status`,
`verify.verify`, `repair.repair`.

Where the work is done: `edgewire.line.records` (event loop, hot), `log` (the thread named store: write, sync, free,
verify), `backlog`, `cursor`, `reader` (event loop: what waits, by segment and queue), `recovery` and `opening` (start),
`files` (the only file operations there are; tests put a failing disk beneath).

Bytes on disk, format 1. Little-endian; CRC-32 is zlib's, over everything in its unit after itself.

  <16 hex digits>.segment   the number is the first sequence in it
    header, 40 bytes   "EGSG", u32 CRC, u16 version, u16 0, u32 0, 16 bytes store id, u64 first sequence
    batches            one per group commit
    zeros              up to the size that was reserved, while it is the last one
    or, once full:     per queue 32 bytes: u16 queue, u16 0, u32 records, u64 bytes, u64 first received ms, u64 latest
                       expiry ms; then 28 bytes: u64 end sequence, u64 end of the batches, u32 rows, u32 CRC of the
                       rows and the 20 bytes before it, "EGIX"
  batch   36 bytes "EGBT", u32 CRC, u32 length of all of it, u32 records, u64 first sequence, u64 received ms (of the
          first record), u16 queues, u16 0; per queue 20 bytes: u16 queue, u16 0, u32 records, u32 bytes of their
          records, u64 latest expiry ms (all ones: never); records
  record  18 bytes: u32 body length, u64 received ms, u16 deliveries, u32 envelope length; per delivery 6 bytes:
          u16 queue, u32 time to live in s (all ones: no limit); envelope; body. Its sequence is its batch's first
          plus its place: one number per batch instead of one per record.
  envelope                  see `edgewire.line.envelopes`
  <first>-<end>.freed       empty: these records were settled before older ones of another queue, and given back
  queues, queues.copy       which endpoint and priority a queue number stands for: see `queues`
  positions                 two slots with the lowest unsettled sequence per queue: see `checkpoint`
  lock                      flock while a gateway or `repair` has the store open
  *.damaged                 what `repair` moved aside

Recovery. Sequences leave no gap from the checkpoint's first one on: each file starts where the one before it ends, and
what a segment holds beyond the start of the next was never acknowledged. The last segment is read to its end. Bytes
there that are no whole batch are a torn write, cut and reported, unless an intact batch follows (a batch is written
only once the one before is safe, so the bad one had been) or the checkpoint knows of later sequences. That, and any
other thing that does not fit, is damage: nothing is changed and the start ends with StoreDamaged. Full segments are
judged by header, index and neighbours at the start, so that 1 GB opens in well under 2 s; the thread reads their
contents while nothing else waits, oldest first. A reader does not wait for that: it checks each batch by itself before
it gives anything from it. Damage found while running is written into the checkpoint, so that the next start refuses.

Choices that are not obvious
- A time to live is stored relative, beside the time the record was received: the bytes of a delivery list repeat.
- Segments in the middle are given back too (`.freed`): one endpoint that is away does not hold everybody's space.
- An opened store never appends to a file of an earlier process: the last segment is closed and a new one begun.
- Counts are exact: each segment knows what each queue still has in it, from its index or by reading it once.
"""
