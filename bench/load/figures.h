/* Part of mqload and amqpload: the clock, latencies, CPU of processes, and how a result is printed. Included once. */
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t buckets[BUCKETS]; /* latency in ns: exact below 128, then 64 buckets for each power of two */

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void note_latency(uint64_t ns)
{
    unsigned shift = ns < 128 ? 0 : 57 - (unsigned)__builtin_clzll(ns);
    buckets[shift * 64 + (ns >> shift)]++;
}

static double latency_us(double quantile)
{
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++) total += buckets[i];
    uint64_t wanted = (uint64_t)(quantile * (double)total);
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += buckets[i];
        if (seen > wanted) {
            unsigned shift = i < 128 ? 0 : i / 64 - 1;
            return (double)((uint64_t)(i - shift * 64) << shift) / 1e3;
        }
    }
    return 0;
}

/* User and system time of a process, all its threads, in seconds. proc(5): fields 14 and 15 of stat. */
static double cpu_of(int pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = 0;
    char *rest = strrchr(text, ')');
    if (rest) sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

typedef struct {
    uint64_t at, done;
    double server, own;
} Reading;

static Reading take_reading(uint64_t done)
{
    Reading reading = {.done = done, .own = own_cpu()};
    for (int i = 0; i < options.pid_count; i++) reading.server += cpu_of(options.pids[i]);
    reading.at = now();
    return reading;
}

/* The fields that all modes share, without the closing brace. */
static void print_result(Reading from, Reading to)
{
    double elapsed = (double)(to.at - from.at) / 1e9;
    uint64_t done = to.done - from.done;
    printf("{\"mode\": \"%s\", \"done\": %llu, \"elapsed_s\": %.3f, \"per_s\": %.1f, \"server_cpu_us\": %.3f, "
           "\"server_cores\": %.3f, \"generator_cores\": %.3f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f",
        options.mode, (unsigned long long)done, elapsed, (double)done / elapsed,
        done ? (to.server - from.server) * 1e6 / (double)done : 0, (to.server - from.server) / elapsed,
        (to.own - from.own) / elapsed, latency_us(0.5), latency_us(0.9), latency_us(0.99), latency_us(0.999));
}
