/* Part of mqload and amqpload: buffers, the devices of a site, what they say, and their sockets. Included once. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>

typedef struct {
    uint8_t *bytes;
    size_t start, end, room;
} Buffer;

typedef struct {
    char *id, *user, *password;
} Device;

static Device *devices;
static uint8_t *bodies[BODIES];

static void reserve(Buffer *buffer, size_t more)
{
    if (buffer->end + more <= buffer->room) return;
    buffer->room = (buffer->end + more) * 2;
    buffer->bytes = realloc(buffer->bytes, buffer->room);
    if (!buffer->bytes) fail(1, "out of memory");
}

static void put(Buffer *buffer, const void *bytes, size_t count)
{
    reserve(buffer, count);
    memcpy(buffer->bytes + buffer->end, bytes, count);
    buffer->end += count;
}

static void put_byte(Buffer *buffer, unsigned value)
{
    put(buffer, &(uint8_t){(uint8_t)value}, 1);
}

/* JSON like a machine's telemetry; one of 16 is an alert, every second one is hot, all are below 100 % humidity. */
static void make_bodies(void)
{
    for (int i = 0; i < BODIES; i++) {
        size_t size = (size_t)options.size, at;
        char *body = malloc(size + 256);
        at = (size_t)sprintf(body, "{\"messageType\":\"%s\",\"machine\":{\"temperature\":%.2f},\"ambient\":{\"humidity\":%d}",
            i == 7 ? "alert" : "state", (i % 2 ? 71.5 : 20.25) + i, 24 + i);
        for (int sensor = 0; at + 48 < size; sensor++)
            at += (size_t)sprintf(body + at, ",\"sensor%02d\":%.3f", sensor, 100.125 + sensor * 3 + i);
        at += (size_t)sprintf(body + at, ",\"pad\":\"");
        while (at < size - 2) body[at++] = 'x';
        memcpy(body + size - 2, "\"}", 2);
        bodies[i] = (uint8_t *)body;
    }
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);
    if (!copy) fail(1, "out of memory");
    return copy;
}

/* A line for each device: id, user name, password, separated by tabs. The first `--first` are somebody else's. */
static void read_devices(void)
{
    devices = calloc((size_t)options.connections, sizeof *devices);
    FILE *file = options.credentials ? fopen(options.credentials, "r") : NULL;
    if (options.credentials && !file) fail(2, "cannot read %s", options.credentials);
    char line[2048], name[32];
    for (int i = 0; file && i < options.first; i++)
        if (!fgets(line, sizeof line, file)) fail(2, "%s has fewer than %d lines", options.credentials, options.first);
    for (int i = 0; i < options.connections; i++) {
        snprintf(name, sizeof name, "device-%05d", options.first + i);
        if (file && !fgets(line, sizeof line, file)) fail(2, "%s has fewer than %d lines", options.credentials, i + 1);
        devices[i].id = copy_of(file ? strtok(line, "\t\n") : name);
        if (file) {
            devices[i].user = copy_of(strtok(NULL, "\t\n"));
            devices[i].password = copy_of(strtok(NULL, "\t\n"));
        }
    }
    if (file) fclose(file);
}

/* A text of at most TOPIC_BYTES with the id of a device in place of {device}. Gives its size. */
static size_t fill_in(char *text, const char *pattern, const char *id)
{
    static const char mark[] = "{device}";
    const char *place = strstr(pattern, mark);
    int before = place ? (int)(place - pattern) : (int)strlen(pattern);
    int size = snprintf(
        text, TOPIC_BYTES, "%.*s%s%s", before, pattern, place ? id : "", place ? place + sizeof mark - 1 : "");
    if (size >= TOPIC_BYTES) fail(2, "the topic is longer than %d bytes", TOPIC_BYTES);
    return (size_t)size;
}

/* A socket on its way to the server, each connection from one of many addresses of this machine. */
static int dial_out(int number)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail(1, "socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(0x7f010001u + (uint32_t)(number % SOURCE_ADDRESSES));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    inet_pton(AF_INET, options.host, &to.sin_addr);
    if (bind(fd, (struct sockaddr *)&from, sizeof from)) fail(1, "bind: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail(1, "connect: %s", strerror(errno));
    return fd;
}
