/* amqpload: AMQP 1.0 load for `make bench`. One thread, epoll, plain TCP; each message is encoded once, before the start.
 *
 *   amqpload publish  N connections, one session and one sending link each, --window transfers in flight on each, all
 *                     unsettled and counted when they are settled as accepted; --batch M puts M messages in a transfer,
 *                     in Microsoft's format 0x80013700
 *   amqpload idle     N connections with their links that stay silent until stdin ends; says when they stand
 *
 * A message has message-id (its own), content-type and content-encoding, two application properties, and a body of JSON.
 * Each prints one JSON object as mqload does; what it counts are messages. Exit codes as there.
 */
#define PROGRAM "amqpload"
#define MODES "publish|idle"
#define TOPIC "/devices/{device}/messages/events"
#include "options.h" /* first: it says which features of the C library are wanted */

#include "figures.h"
#include "material.h"
#include "amqp_types.h" /* needs its buffers */

#include <signal.h>
#include <sys/epoll.h>

enum {
    MAX_FRAME = 65536,
    TRANSFER_BYTES = 48, /* frame header and performative of a transfer, at most */
    ID_DIGITS = 12,
    OPEN = 0x10, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE, /* AMQP 1.0 §2.7 */
    ACCEPTED = 0x24,
    SASL_MECHANISMS = 0x40, SASL_INIT, SASL_OUTCOME = 0x44,
};
#define BATCH_FORMAT 0x80013700u
static const char SASL_HEADER[] = "AMQP\3\1\0", AMQP_HEADER[] = "AMQP\0\1\0";

/* ---- links: one connection each ----------------------------------------------------------------------------------- */

typedef enum { DIALLING, SASL_STARTED, SASL_ANSWERED, LOGGED_IN, OPENING, READY } Stage;

typedef struct {
    int fd, number;
    Stage stage;
    bool wants_write;
    Buffer in, out;
    const Device *device;
    uint64_t *sent_at; /* by delivery id, a ring at least as long as the window */
    uint32_t sent, settled, credit, frames_sent, frames_allowed, max_frame;
} Link;

static int poller;
static Link *links;
static uint32_t ring_mask;
static Buffer payloads[BODIES]; /* what a transfer carries, encoded */
static size_t id_at, stride; /* where the first message id of a payload is, and how far apart they are */
static uint64_t published, acknowledged, refused, ready, broken;
static bool publishing, measuring;

static void watch(Link *link, bool write)
{
    link->wants_write = write;
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = link};
    epoll_ctl(poller, EPOLL_CTL_MOD, link->fd, &event);
}

static bool flush_link(Link *link)
{
    Buffer *out = &link->out;
    while (out->start < out->end) {
        ssize_t count = send(link->fd, out->bytes + out->start, out->end - out->start, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno != EAGAIN) return false;
            if (!link->wants_write) watch(link, true);
            return true;
        }
        out->start += (size_t)count;
    }
    out->start = out->end = 0;
    if (link->wants_write) watch(link, false);
    return true;
}

static void dial(Link *link)
{
    link->fd = dial_out(link->number);
    link->stage = DIALLING;
    link->wants_write = true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = link};
    epoll_ctl(poller, EPOLL_CTL_ADD, link->fd, &event);
}

static void hang_up(Link *link)
{
    if (link->fd >= 0) close(link->fd);
    link->fd = -1;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static void log_in(Link *link) /* SASL PLAIN, RFC 4616; without a password ANONYMOUS. §5.3.3.2 */
{
    const char *password = options.password ? options.password : link->device->password;
    char name[TOPIC_BYTES];
    size_t size = fill_in(name + 1, options.user ? options.user : "", link->device->id) + 2;
    Buffer response = {0};
    Place place = begin_frame(&link->out, 1, SASL_INIT, 2);
    name[0] = name[size - 1] = 0;
    if (password) {
        put(&response, name, size);
        put(&response, password, strlen(password));
    }
    put_symbol(&link->out, password ? "PLAIN" : "ANONYMOUS");
    put_variable(&link->out, 0xa0, response.bytes ? (char *)response.bytes : "", response.end);
    end_frame(&link->out, place);
    free(response.bytes);
}

static void put_terminus(Buffer *out, unsigned code, const char *address)
{
    put_described(out, code);
    size_t list = begin_compound(out, 0xd0, 2);
    put_string(out, address);
    put_uint(out, options.durable ? 2 : 0); /* unsettled-state, §3.5.5: RabbitMQ declares a durable queue */
    end_compound(out, list);
}

static void open_link(Link *link) /* open, begin and attach at once: §2.4.1 allows it */
{
    Buffer *out = &link->out;
    char name[64], address[TOPIC_BYTES];
    snprintf(name, sizeof name, "amqpload-%d", link->number);
    fill_in(address, options.topic, link->device->id);
    Place place = begin_frame(out, 0, OPEN, 3);
    put_string(out, name);
    put_nulls(out, 1);
    put_uint(out, MAX_FRAME);
    end_frame(out, place);
    place = begin_frame(out, 0, BEGIN, 4);
    put_nulls(out, 1);
    for (int i = 0; i < 3; i++) put_uint(out, i ? 1 << 20 : 0);
    end_frame(out, place);
    place = begin_frame(out, 0, ATTACH, 10);
    put_string(out, name);
    put_uint(out, 0);
    put(out, "\x42\x50\0\x50\0", 5); /* a sender; unsettled; settled by the receiver first */
    put_terminus(out, 0x28, "amqpload");
    put_terminus(out, 0x29, address);
    put_nulls(out, 2);
    put_uint(out, 0);
    end_frame(out, place);
}

static bool on_header(Link *link, const uint8_t *header)
{
    if (memcmp(header, link->stage == SASL_STARTED ? SASL_HEADER : AMQP_HEADER, 8)) return false;
    if (link->stage == SASL_STARTED) {
        link->stage = SASL_ANSWERED;
        return true;
    }
    link->stage = OPENING;
    open_link(link);
    return true;
}

/* ---- publishing --------------------------------------------------------------------------------------------------- */

/* Its own id for each message of a payload. */
static void set_ids(Buffer *payload)
{
    for (int i = 0; i < options.batch; i++) {
        uint64_t number = published + (uint64_t)i;
        uint8_t *last = payload->bytes + id_at + (size_t)i * stride + ID_DIGITS - 1;
        for (int digit = 0; digit < ID_DIGITS; digit++, number >>= 4) *last-- = "0123456789abcdef"[number & 15];
    }
}

static uint32_t frames_of(const Link *link, size_t size)
{
    size_t room = link->max_frame - TRANSFER_BYTES;
    return (uint32_t)((size + room - 1) / room);
}

static void transfer(Link *link, uint64_t at) /* §2.7.5; delivery id and tag on the first frame */
{
    Buffer *payload = &payloads[(link->sent + (uint32_t)link->number) % BODIES];
    set_ids(payload);
    uint32_t id = link->sent, format = options.batch > 1 ? BATCH_FORMAT : 0;
    for (size_t start = 0, room = link->max_frame - TRANSFER_BYTES, part; start < payload->end; start += part) {
        part = payload->end - start < room ? payload->end - start : room;
        uint8_t head[] = {0, 0, 0, 0, 2, 0, 0, 0, 0, 0x53, TRANSFER, 0xc0, 21, 6, 0x43, /* handle 0 */
            0x70, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id,
            0xa0, 4, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id,
            0x70, (uint8_t)(format >> 24), (uint8_t)(format >> 16), (uint8_t)(format >> 8), (uint8_t)format,
            0x42, start + part < payload->end ? 0x41 : 0x42};
        head[12] = sizeof head - 13;
        size_t frame = link->out.end;
        put(&link->out, head, sizeof head);
        put(&link->out, payload->bytes + start, part);
        set_u32(&link->out, frame, (uint32_t)(link->out.end - frame));
        link->frames_sent++;
    }
    link->sent_at[link->sent++ & ring_mask] = at;
    link->credit--;
    published += (uint64_t)options.batch;
}

/* How many transfers of so many frames may go out now: window of ours, credit of the link, window of the session. */
static uint32_t allowed(const Link *link, uint32_t frames)
{
    uint32_t in_flight = link->sent - link->settled, count = (uint32_t)options.window;
    count = in_flight < count ? count - in_flight : 0;
    if (link->credit < count) count = link->credit;
    int32_t by_frames = (int32_t)(link->frames_allowed - link->frames_sent) / (int32_t)frames;
    return by_frames < (int32_t)count ? (by_frames < 0 ? 0 : (uint32_t)by_frames) : count;
}

static bool fill_window(Link *link)
{
    if (!publishing) return true;
    uint64_t at = now();
    uint32_t count = allowed(link, frames_of(link, payloads[0].end));
    while (count-- && (!options.count || published < options.count)) transfer(link, at);
    return flush_link(link);
}

static void on_flow(Link *link, const Number *fields) /* §2.5.6 and §2.6.7 */
{
    link->frames_allowed = fields[0].value + fields[1].value;
    if (!fields[4].given || !fields[6].given) return;
    uint32_t credit = fields[5].value + fields[6].value - link->sent;
    link->credit = (int32_t)credit < 0 ? 0 : credit;
    if (link->stage == OPENING && link->credit) {
        link->stage = READY;
        ready++;
    }
}

static bool on_disposition(Link *link, const Number *fields, uint64_t at) /* §2.7.6: a range, settled, with a state */
{
    uint32_t first = fields[1].value, count = (fields[2].given ? fields[2].value : first) - first + 1;
    if (!fields[3].value || count > link->sent - link->settled) return !fields[3].value;
    if (fields[4].value != ACCEPTED) {
        refused += (uint64_t)options.batch * count;
        return false;
    }
    for (uint32_t id = first; measuring && id != first + count; id++) note_latency(at - link->sent_at[id & ring_mask]);
    link->settled += count;
    acknowledged += (uint64_t)options.batch * count;
    return true;
}

static bool on_frame(Link *link, const uint8_t *frame, size_t size, uint64_t at)
{
    Reader body = {frame + 4u * frame[4] + 3, frame + size};
    Number fields[MAX_FIELDS];
    if (size == 4u * frame[4]) return true; /* empty: only a sign of life */
    if (body.at >= body.end || body.at[-3] || body.at[-2] != 0x53 || !read_fields(body, fields)) return false;
    switch (body.at[-1]) {
    case SASL_MECHANISMS: log_in(link); return true;
    case SASL_OUTCOME:
        link->stage = LOGGED_IN;
        put(&link->out, AMQP_HEADER, 8);
        return fields[0].given && fields[0].value == 0;
    case OPEN:
        if (fields[2].given && fields[2].value < MAX_FRAME) link->max_frame = fields[2].value;
        return link->max_frame > 2 * TRANSFER_BYTES;
    case BEGIN: link->frames_allowed = fields[2].value; return true;
    case FLOW: on_flow(link, fields); return true;
    case DISPOSITION: return on_disposition(link, fields, at);
    case DETACH: case END: case CLOSE: return false;
    default: return true;
    }
}

static bool take_frames(Link *link, uint64_t at)
{
    Buffer *in = &link->in;
    while (in->end - in->start >= 8) {
        const uint8_t *frame = in->bytes + in->start;
        bool header = link->stage == SASL_STARTED || link->stage == LOGGED_IN;
        size_t size = header ? 8 : u32_at(frame);
        if (size < 8 || size > 2 * MAX_FRAME || (!header && (frame[4] < 2 || size < 4u * frame[4]))) return false;
        if (in->end - in->start < size) break;
        in->start += size;
        if (!(header ? on_header(link, frame) : on_frame(link, frame, size, at))) return false;
    }
    memmove(in->bytes, in->bytes + in->start, in->end - in->start);
    in->end -= in->start;
    in->start = 0;
    return true;
}

static bool read_link(Link *link)
{
    for (ssize_t got = READ_BYTES; got == READ_BYTES;) {
        reserve(&link->in, READ_BYTES);
        got = recv(link->fd, link->in.bytes + link->in.end, READ_BYTES, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
        if (got < 0) break;
        link->in.end += (size_t)got;
        if (!take_frames(link, now())) return false;
    }
    if (link->stage == READY && !fill_window(link)) return false;
    return link->out.end == 0 || flush_link(link);
}

static bool drive(Link *link, uint32_t events)
{
    if (link->stage == DIALLING) {
        link->stage = SASL_STARTED;
        put(&link->out, SASL_HEADER, 8);
        return flush_link(link);
    }
    if (events & EPOLLOUT && !flush_link(link)) return false;
    return !(events & ~(uint32_t)EPOLLOUT) || read_link(link);
}

/* Wait and serve once. A link that breaks, or has a message refused, is hung up and counted. */
static void turn(int timeout_ms)
{
    struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(poller, events, MAX_EVENTS, timeout_ms);
    for (int i = 0; i < count; i++) {
        Link *link = events[i].data.ptr;
        if (link->fd >= 0 && !drive(link, events[i].events)) {
            hang_up(link);
            broken++;
        }
    }
}

/* ---- preparing ---------------------------------------------------------------------------------------------------- */

static void put_message(Buffer *out, int body) /* §3.2 */
{
    if (options.durable) {
        put_described(out, 0x70);
        put(out, "\xc0\2\1\x41", 4);
    }
    put_described(out, 0x73);
    size_t place = begin_compound(out, 0xd0, 8);
    put_string(out, "message-000000000000"); /* its last ID_DIGITS change */
    id_at = out->end - ID_DIGITS;
    put_nulls(out, 5);
    put_symbol(out, "application/json");
    put_symbol(out, "utf-8");
    end_compound(out, place);
    put_described(out, 0x74);
    place = begin_compound(out, 0xd1, 4);
    put_string(out, "kind");
    put_string(out, "telemetry");
    put_string(out, "line");
    put_string(out, "12345");
    end_compound(out, place);
    put_described(out, 0x75);
    put_variable(out, 0xa0, bodies[body], (size_t)options.size);
}

static void make_payloads(void)
{
    for (int i = 0; i < BODIES; i++) {
        Buffer *payload = &payloads[i], message = {0};
        if (options.batch == 1) {
            put_message(payload, i);
            continue;
        }
        for (int part = 0; part < options.batch; part++) {
            message.end = 0;
            put_message(&message, (i + part) % BODIES);
            put_described(payload, 0x75);
            put_byte(payload, 0xb0);
            put_u32(payload, (uint32_t)message.end);
            put(payload, message.bytes, message.end);
        }
        stride = message.end + 8;
        id_at += 8;
        free(message.bytes);
    }
}

static void make_links(void)
{
    uint32_t ring = 1;
    while (ring < (uint32_t)options.window) ring *= 2;
    ring_mask = ring - 1;
    links = calloc((size_t)options.connections, sizeof *links);
    for (int i = 0; i < options.connections; i++)
        links[i] = (Link){.fd = -1, .number = options.first + i, .device = &devices[i], .max_frame = MAX_FRAME,
            .sent_at = calloc(ring, sizeof(uint64_t))};
}

/* ---- modes -------------------------------------------------------------------------------------------------------- */

static double connect_all(void)
{
    uint64_t started_at = now();
    int dialled = 0;
    while (ready < (uint64_t)options.connections) {
        while (dialled < options.connections && dialled - (int)ready < DIALLING_AT_ONCE) dial(&links[dialled++]);
        turn(100);
        if (broken) fail(1, "a connection or link was refused or cut; %llu stood", (unsigned long long)ready);
        if (now() - started_at > CONNECT_S * SECOND) fail(1, "only %llu stood", (unsigned long long)ready);
    }
    return (double)(now() - started_at) / 1e9;
}

static void run_publish(void)
{
    double connect_s = connect_all();
    Reading from = {0};
    uint64_t started_at = now(), measure_at = started_at + (uint64_t)(options.warm * 1e9);
    uint64_t end_at = measure_at + (uint64_t)(options.seconds * 1e9);
    publishing = true;
    for (int i = 0; i < options.connections; i++)
        if (!fill_window(&links[i])) broken++;
    for (uint64_t at = now(); at < end_at && !broken && !(options.count && acknowledged >= options.count); at = now()) {
        if (!measuring && at >= measure_at) {
            from = take_reading(acknowledged);
            measuring = true;
        }
        turn(10);
    }
    Reading to = take_reading(acknowledged);
    publishing = measuring = false;
    while (acknowledged < published && !broken && now() < to.at + DRAIN_S * SECOND) turn(10);
    print_result(from, to);
    printf(", \"published\": %llu, \"acknowledged\": %llu, \"refused\": %llu, \"total_s\": %.4f, "
           "\"publish_bytes\": %.1f, \"connect_s\": %.3f, \"broken\": %llu}\n",
        (unsigned long long)published, (unsigned long long)acknowledged, (unsigned long long)refused,
        (double)(now() - started_at) / 1e9,
        (double)(payloads[0].end + frames_of(&links[0], payloads[0].end) * 33) / options.batch, connect_s,
        (unsigned long long)broken);
}

static void run_idle(void)
{
    double connect_s = connect_all();
    char byte;
    printf("{\"mode\": \"idle\", \"connections\": %d, \"connect_s\": %.3f}\n", options.connections, connect_s);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) continue; /* shorter than any idle time-out of a server */
}

int main(int count, char **words)
{
    read_options(count, words);
    if (options.batch < 1 || options.tls || options.rate > 0 || options.resume)
        fail(2, "a batch of at least 1 message; neither TLS nor a rate");
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    make_bodies();
    read_devices();
    make_payloads();
    make_links();
    if (!strcmp(options.mode, "publish")) run_publish();
    else if (!strcmp(options.mode, "idle")) run_idle();
    else fail(2, "unknown mode %s", options.mode);
    return broken ? 1 : 0;
}
