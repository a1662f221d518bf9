/* mqload: MQTT 3.1.1 load for `make bench`. One thread, epoll, TLS by OpenSSL.
 *
 *   mqload publish    N connections publish QoS 1: closed loop with W in flight each, or --rate messages a second in all
 *   mqload receive    one connection subscribes and counts what arrives
 *   mqload idle       N connections that stay silent until stdin ends; says when they stand
 *   mqload handshake  connect, CONNECT, CONNACK, DISCONNECT, over and over
 *
 * Each prints one JSON object. Exit code 0: done; 1: a connection failed or was cut; 2: wrong usage.
 */
#define PROGRAM "mqload"
#define MODES "publish|receive|idle|handshake"
#define TOPIC "devices/{device}/messages/events/$.ct=application%2Fjson&$.ce=utf-8"
#include "options.h" /* first: it says which features of the C library are wanted */

#include "figures.h"
#include "material.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

/* ---- links: one connection each ----------------------------------------------------------------------------------- */

typedef enum { DIALLING, HANDSHAKING, GREETING, SUBSCRIBING, READY } Stage;

typedef struct {
    int fd, number;
    Stage stage;
    bool wants_write;
    SSL *tls;
    SSL_SESSION *session;
    Buffer in, out;
    const Device *device;
    uint64_t *sent_at; /* by packet id, a ring at least as long as the window */
    uint32_t published, unacknowledged;
    uint8_t *topic; /* behind its two bytes of length */
    size_t topic_bytes;
    uint64_t dialled_at;
} Link;

static int poller;
static SSL_CTX *tls_context;
static Link *links;
static uint32_t ring_mask;
static uint64_t published, acknowledged, arrived, first_arrival, last_arrival, ready, resumed, broken;
static bool publishing, measuring;

static void on_ready(Link *link);

static void put_length(Buffer *buffer, size_t value) /* MQTT 3.1.1 §2.2.3 */
{
    do {
        put_byte(buffer, (unsigned)(value & 127) | (value > 127 ? 128 : 0));
        value >>= 7;
    } while (value);
}

static void put_text(Buffer *buffer, const char *text)
{
    size_t size = strlen(text);
    put_byte(buffer, (unsigned)(size >> 8));
    put_byte(buffer, (unsigned)size);
    put(buffer, text, size);
}

static void watch(Link *link, bool write)
{
    link->wants_write = write;
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = link};
    epoll_ctl(poller, EPOLL_CTL_MOD, link->fd, &event);
}

/* Bytes moved, 0 for "not now", -1 for a broken link. */
static ssize_t moved(Link *link, ssize_t count, bool ended_is_broken)
{
    if (count > 0) return count;
    if (link->tls) {
        int error = SSL_get_error(link->tls, (int)count);
        return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    if (count == 0) return ended_is_broken ? -1 : 0;
    return errno == EAGAIN ? 0 : -1;
}

static bool flush_link(Link *link)
{
    Buffer *out = &link->out;
    while (out->start < out->end) {
        size_t size = out->end - out->start;
        ssize_t count = link->tls ? SSL_write(link->tls, out->bytes + out->start, (int)size)
                                  : send(link->fd, out->bytes + out->start, size, MSG_NOSIGNAL);
        count = moved(link, count, false);
        if (count < 0) return false;
        if (count == 0) {
            if (!link->wants_write) watch(link, true);
            return true;
        }
        out->start += (size_t)count;
    }
    out->start = out->end = 0;
    if (link->wants_write) watch(link, false);
    return true;
}

static void greet(Link *link) /* CONNECT, MQTT 3.1.1 §3.1: clean session, no keep-alive */
{
    const Device *device = link->device;
    size_t size = 10 + 2 + strlen(device->id);
    bool named = device->user != NULL;
    if (named) size += 4 + strlen(device->user) + strlen(device->password);
    put_byte(&link->out, 0x10);
    put_length(&link->out, size);
    put(&link->out, named ? "\0\4MQTT\4\xC2\0\0" : "\0\4MQTT\4\2\0\0", 10);
    put_text(&link->out, device->id);
    if (named) {
        put_text(&link->out, device->user);
        put_text(&link->out, device->password);
    }
    link->stage = GREETING;
}

static void subscribe(Link *link) /* SUBSCRIBE to everything at QoS 1, §3.8 */
{
    put(&link->out, "\x82\6\0\1\0\1#\1", 8);
    link->stage = SUBSCRIBING;
}

static void dial(Link *link)
{
    link->fd = dial_out(link->number);
    link->stage = DIALLING;
    link->wants_write = true;
    link->in.start = link->in.end = link->out.start = link->out.end = 0;
    link->dialled_at = now();
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = link};
    epoll_ctl(poller, EPOLL_CTL_ADD, link->fd, &event);
}

static void hang_up(Link *link)
{
    if (link->tls) {
        SSL_shutdown(link->tls);
        SSL_free(link->tls);
    }
    if (link->fd >= 0) close(link->fd);
    link->tls = NULL;
    link->fd = -1;
}

static bool on_dialled(Link *link)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) return false;
    if (!tls_context) {
        greet(link);
        return flush_link(link);
    }
    link->tls = SSL_new(tls_context);
    SSL_set_fd(link->tls, link->fd);
    SSL_set_app_data(link->tls, link);
    SSL_set_connect_state(link->tls);
    if (options.resume && link->session) SSL_set_session(link->tls, link->session);
    link->stage = HANDSHAKING;
    return true;
}

static bool on_handshake(Link *link)
{
    int result = SSL_do_handshake(link->tls);
    if (result != 1) {
        int error = SSL_get_error(link->tls, result);
        bool write = error == SSL_ERROR_WANT_WRITE;
        if (error != SSL_ERROR_WANT_READ && !write) return false;
        if (link->wants_write != write) watch(link, write);
        return true;
    }
    resumed += (uint64_t)SSL_session_reused(link->tls);
    greet(link);
    return flush_link(link);
}

static int on_session(SSL *tls, SSL_SESSION *session)
{
    Link *link = SSL_get_app_data(tls);
    if (link->session) SSL_SESSION_free(link->session);
    link->session = session;
    return 1; /* it is ours now */
}

/* ---- publishing --------------------------------------------------------------------------------------------------- */

static void publish(Link *link, uint64_t at) /* §3.3; packet ids run from 1 to 32768 and start again */
{
    uint32_t packet_id = (link->published & 0x7fff) + 1;
    size_t size = (size_t)options.size;
    reserve(&link->out, link->topic_bytes + size + 8);
    put_byte(&link->out, 0x32);
    put_length(&link->out, link->topic_bytes + 2 + size);
    put(&link->out, link->topic, link->topic_bytes);
    put_byte(&link->out, packet_id >> 8);
    put_byte(&link->out, packet_id);
    put(&link->out, bodies[(link->published + (uint32_t)link->number) % BODIES], size);
    link->sent_at[link->published & ring_mask] = at;
    link->published++;
    link->unacknowledged++;
    published++;
}

static bool fill_window(Link *link)
{
    if (!publishing || options.rate > 0 || link->unacknowledged >= (uint32_t)options.window) return true;
    uint64_t at = now();
    while (link->unacknowledged < (uint32_t)options.window && (!options.count || published < options.count))
        publish(link, at);
    return flush_link(link);
}

/* Open loop: what is due by now, one message for each link in turn; a link with a full window is passed over. */
static void keep_rate(uint64_t started_at, uint64_t at)
{
    static int next;
    uint64_t due = (uint64_t)((double)(at - started_at) / 1e9 * options.rate);
    for (int passed = 0; published < due && passed < options.connections; next = (next + 1) % options.connections) {
        Link *link = &links[next];
        if (link->unacknowledged >= (uint32_t)options.window) {
            passed++;
            continue;
        }
        passed = 0;
        publish(link, now());
        if (!flush_link(link)) broken++;
    }
}

static bool on_puback(Link *link, const uint8_t *body, uint64_t at)
{
    uint32_t packet_id = (uint32_t)(body[0] << 8 | body[1]);
    if (measuring) note_latency(at - link->sent_at[(packet_id - 1) & ring_mask]);
    link->unacknowledged--;
    acknowledged++;
    return true;
}

static bool on_publish(Link *link, unsigned first, const uint8_t *body, uint64_t at)
{
    size_t topic = (size_t)(body[0] << 8 | body[1]);
    if (!arrived++) first_arrival = at;
    last_arrival = at;
    if (first & 6) put(&link->out, (uint8_t[]){0x40, 2, body[topic + 2], body[topic + 3]}, 4);
    return true;
}

static bool on_packet(Link *link, unsigned first, const uint8_t *body, size_t size, uint64_t at)
{
    switch (first >> 4) {
    case 2: /* CONNACK */
        if (size < 2 || body[1]) return false;
        if (!strcmp(options.mode, "receive")) subscribe(link);
        else on_ready(link);
        return true;
    case 3: return on_publish(link, first, body, at);
    case 4: return on_puback(link, body, at);
    case 9: on_ready(link); return true; /* SUBACK */
    default: return true;
    }
}

static bool take_packets(Link *link, uint64_t at)
{
    Buffer *in = &link->in;
    while (in->end - in->start >= 2) {
        size_t size = 0, head = in->start + 1;
        unsigned shift = 0;
        uint8_t byte = 128;
        while (head < in->end && byte & 128) {
            byte = in->bytes[head++];
            size |= (size_t)(byte & 127) << shift;
            shift += 7;
        }
        if (byte & 128 || in->end - head < size) break;
        unsigned first = in->bytes[in->start];
        in->start = head + size;
        if (!on_packet(link, first, in->bytes + head, size, at)) return false;
        if (link->fd < 0) return true;
    }
    if (in->start == in->end) in->start = in->end = 0;
    else if (in->start) {
        memmove(in->bytes, in->bytes + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    return true;
}

static bool read_link(Link *link)
{
    for (;;) {
        reserve(&link->in, READ_BYTES);
        ssize_t count = link->tls ? SSL_read(link->tls, link->in.bytes + link->in.end, READ_BYTES)
                                  : recv(link->fd, link->in.bytes + link->in.end, READ_BYTES, 0);
        ssize_t got = moved(link, count, true);
        if (got < 0) return false;
        if (got == 0) break;
        link->in.end += (size_t)got;
        if (!take_packets(link, now())) return false;
        if (link->fd < 0) return true;
        if (!link->tls && got < READ_BYTES) break; /* the socket is empty: no second call to learn it */
    }
    if (link->stage == READY && !fill_window(link)) return false;
    return link->out.end == 0 || flush_link(link);
}

static bool drive(Link *link, uint32_t events)
{
    if (link->stage == DIALLING && !on_dialled(link)) return false;
    if (link->stage == HANDSHAKING) return on_handshake(link);
    if (events & EPOLLOUT && !flush_link(link)) return false;
    return !(events & ~(uint32_t)EPOLLOUT) || read_link(link);
}

/* Wait and serve once. A link that breaks is hung up and counted. */
static void turn(int timeout_us)
{
    struct epoll_event events[MAX_EVENTS];
    struct timespec timeout = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    int count = epoll_pwait2(poller, events, MAX_EVENTS, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        Link *link = events[i].data.ptr;
        if (link->fd >= 0 && !drive(link, events[i].events)) {
            hang_up(link);
            broken++;
        }
    }
}

/* ---- preparing ---------------------------------------------------------------------------------------------------- */

/* The topic of one device, behind its two bytes of length. */
static void set_topic(Link *link)
{
    char topic[TOPIC_BYTES];
    size_t size = fill_in(topic, options.topic, link->device->id);
    link->topic_bytes = size + 2;
    link->topic = malloc(link->topic_bytes);
    link->topic[0] = (uint8_t)(size >> 8);
    link->topic[1] = (uint8_t)size;
    memcpy(link->topic + 2, topic, size);
}

static void make_links(void)
{
    uint32_t ring = 1;
    while (ring < (uint32_t)options.window) ring *= 2;
    ring_mask = ring - 1;
    links = calloc((size_t)options.connections, sizeof *links);
    for (int i = 0; i < options.connections; i++) {
        Link *link = &links[i];
        *link = (Link){.fd = -1, .number = i, .device = &devices[i], .sent_at = calloc(ring, sizeof(uint64_t))};
        set_topic(link);
    }
}

static void prepare_tls(void)
{
    int version = !strcmp(options.tls, "1.2") ? TLS1_2_VERSION : TLS1_3_VERSION;
    tls_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(tls_context, version);
    SSL_CTX_set_max_proto_version(tls_context, version);
    SSL_CTX_set_mode(tls_context,
        SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (options.resume) {
        SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(tls_context, on_session);
    }
}

/* ---- modes -------------------------------------------------------------------------------------------------------- */

static uint64_t handshakes;

static void on_ready(Link *link)
{
    link->stage = READY;
    ready++;
    if (strcmp(options.mode, "handshake")) return;
    if (measuring) note_latency(now() - link->dialled_at);
    put(&link->out, "\xE0\0", 2); /* DISCONNECT */
    flush_link(link);
    hang_up(link);
    handshakes++;
}

static double connect_all(void)
{
    uint64_t started_at = now();
    int dialled = 0;
    while (ready < (uint64_t)options.connections) {
        while (dialled < options.connections && dialled - (int)ready < DIALLING_AT_ONCE) dial(&links[dialled++]);
        turn(100000);
        if (broken) fail(1, "a connection was refused or cut while connecting; %llu stood", (unsigned long long)ready);
        if (now() - started_at > CONNECT_S * SECOND) fail(1, "only %llu connected", (unsigned long long)ready);
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
        if (options.rate > 0) keep_rate(started_at, at);
        turn(options.rate > 0 ? 50 : 10000);
    }
    Reading to = take_reading(acknowledged);
    publishing = measuring = false;
    while (acknowledged < published && !broken && now() < to.at + DRAIN_S * SECOND) turn(10000);
    print_result(from, to);
    printf(", \"published\": %llu, \"acknowledged\": %llu, \"total_s\": %.4f, \"publish_bytes\": %zu, "
           "\"connect_s\": %.3f, \"broken\": %llu}\n",
        (unsigned long long)published, (unsigned long long)acknowledged, (double)(now() - started_at) / 1e9,
        links[0].topic_bytes + (size_t)options.size + 5, connect_s, (unsigned long long)broken);
}

static void run_receive(void)
{
    connect_all();
    printf("{\"ready\": true}\n");
    fflush(stdout);
    Reading from = take_reading(0);
    uint64_t end_at = now() + (uint64_t)(options.seconds * 1e9);
    while (now() < end_at && !broken && (!options.count || arrived < options.count)) turn(10000);
    print_result(from, take_reading(arrived));
    printf(", \"arrived\": %llu, \"arriving_s\": %.4f}\n", (unsigned long long)arrived,
        (double)(last_arrival - first_arrival) / 1e9);
}

static void run_idle(void)
{
    double connect_s = connect_all();
    char byte;
    printf("{\"mode\": \"idle\", \"connections\": %d, \"connect_s\": %.3f}\n", options.connections, connect_s);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) continue; /* nothing is due: keep-alive is off */
}

/* `window` slots at once, each walking through its share of the devices. */
static void run_handshake(void)
{
    int slots = options.window < options.connections ? options.window : options.connections;
    uint64_t started_at = now(), measure_at = started_at + (uint64_t)(options.warm * 1e9);
    uint64_t end_at = measure_at + (uint64_t)(options.seconds * 1e9);
    Reading from = {0};
    for (int i = 0; i < slots; i++) dial(&links[i]);
    for (uint64_t at = now(); at < end_at && broken < 100; at = now()) {
        if (!measuring && at >= measure_at) {
            from = take_reading(handshakes);
            resumed = 0;
            measuring = true;
        }
        turn(10000);
        for (int i = 0; i < slots; i++) {
            if (links[i].fd >= 0) continue;
            int next = (int)(links[i].device - devices) + slots;
            links[i].device = &devices[next < options.connections ? next : i];
            dial(&links[i]);
        }
    }
    print_result(from, take_reading(handshakes));
    printf(", \"resumed\": %llu, \"broken\": %llu}\n", (unsigned long long)resumed, (unsigned long long)broken);
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"publish", run_publish}, {"receive", run_receive}, {"idle", run_idle}, {"handshake", run_handshake}};
    read_options(count, words);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1000ul); /* 1 us: a steady rate must not be bunched */
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (options.tls) prepare_tls();
    make_bodies();
    read_devices();
    make_links();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(options.mode, modes[i].name)) continue;
        modes[i].run();
        return broken ? 1 : 0;
    }
    fail(2, "unknown mode %s", options.mode);
}
