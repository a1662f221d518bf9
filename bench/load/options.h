/* Part of mqload and amqpload: their command line, and their constants. Included once, behind PROGRAM, MODES and TOPIC. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_PIDS = 8,
    MAX_EVENTS = 512,
    DIALLING_AT_ONCE = 128, /* below every server's backlog */
    SOURCE_ADDRESSES = 200, /* 127.1.0.1 ..., so that 28,000 ports are not the limit */
    BODIES = 16,
    READ_BYTES = 16384,
    TOPIC_BYTES = 512,
    BUCKETS = 64 * 60,
    CONNECT_S = 60,
    DRAIN_S = 20,
};
#define SECOND 1000000000ull

static struct {
    const char *mode, *host, *topic, *credentials, *tls;
    const char *user, *password; /* AMQP: for all, with {device} in it, and instead of the token */
    int port, connections, first, window, size, pids[MAX_PIDS], pid_count, resume;
    int batch, durable; /* AMQP: messages in a transfer, and whether they say that they are durable */
    double seconds, warm, rate;
    uint64_t count;
} options = {
    .host = "127.0.0.1",
    .topic = TOPIC,
    .port = 1883,
    .connections = 1,
    .window = 1,
    .size = 256,
    .batch = 1,
    .seconds = 5,
};

static _Noreturn void fail(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs(PROGRAM ": ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(code);
}

static void read_option(const char *name, const char *value)
{
    if (!strcmp(name, "--host")) options.host = value;
    else if (!strcmp(name, "--port")) options.port = atoi(value);
    else if (!strcmp(name, "--topic")) options.topic = value;
    else if (!strcmp(name, "--credentials")) options.credentials = value;
    else if (!strcmp(name, "--tls")) options.tls = value;
    else if (!strcmp(name, "--connections")) options.connections = atoi(value);
    else if (!strcmp(name, "--first")) options.first = atoi(value);
    else if (!strcmp(name, "--window")) options.window = atoi(value);
    else if (!strcmp(name, "--size")) options.size = atoi(value);
    else if (!strcmp(name, "--resume")) options.resume = atoi(value);
    else if (!strcmp(name, "--user")) options.user = value;
    else if (!strcmp(name, "--password")) options.password = value;
    else if (!strcmp(name, "--batch")) options.batch = atoi(value);
    else if (!strcmp(name, "--durable")) options.durable = atoi(value);
    else if (!strcmp(name, "--seconds")) options.seconds = atof(value);
    else if (!strcmp(name, "--warm")) options.warm = atof(value);
    else if (!strcmp(name, "--rate")) options.rate = atof(value);
    else if (!strcmp(name, "--count")) options.count = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--pid") && options.pid_count < MAX_PIDS) options.pids[options.pid_count++] = atoi(value);
    else fail(2, "unknown option %s", name);
}

static void read_options(int count, char **words)
{
    if (count < 2 || count % 2) fail(2, "usage: " PROGRAM " " MODES " [--option value]...");
    options.mode = words[1];
    for (int i = 2; i < count; i += 2) read_option(words[i], words[i + 1]);
    if (options.connections < 1 || options.window < 1 || options.window > 16384 || options.size < 128)
        fail(2, "at least 1 connection, 1 to 16384 in flight, 128 bytes");
}
