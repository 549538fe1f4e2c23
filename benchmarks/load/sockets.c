/* Many WebSocket clients in one small process: opens sockets, reads frames as they stream, counts, measures.
 *
 *     sockets HOST PORT USERS [--bare] [--at-once N] [--ids]
 *
 * USERS is a file with a line per socket: user, and optionally token and cursor, separated by tabs. Each socket says
 * who it is by a connect frame and is open once it got its hello; with --bare (a server that knows no protocol of
 * ours) once its handshake is answered. --at-once bounds how many open at the same time. A socket that the server
 * closes before it was open tries again; one that it closes later stays closed, and is counted by its code. --ids
 * keeps the number of each notification.
 *
 * A notification's time is read from its id: `t`, 20 digits of CLOCK_MONOTONIC in ns, `-`, a number. The clock stops
 * when the bytes that end the frame have been read.
 *
 * Commands come by stdin, a line each; all but `deaf` and `quit` are answered by one line of JSON:
 *
 *     opened            once every socket is open
 *     mark              forget what was counted and measured
 *     until N           once N notifications were read since the mark
 *     report            what was counted and measured since the mark
 *     deaf K            every K-th socket reads no more, for good, and counts no more
 *     cursors FILE      write each user and the cursor it came to
 *     ids FILE          write each user and the numbers of its notifications since the mark, in order
 *     quit
 *
 * Everything waits in one epoll; there is one thread. Only loopback is meant, so what a client says (a few hundred
 * bytes) is taken to fit the kernel's buffer; if not, the socket counts as broken.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)        /* by one read; many frames */
#define FRAME_BYTES_MAX (4 * 1024 * 1024) /* a fresh page of 50 rows takes some 50 KB */
#define CURSOR_CHARS 128
#define RETRY_NS 200000000ull          /* between two tries to open, and up to twice that */
#define FULL 4503                      /* the server has no room now, and asks for ... */
#define FULL_NS 2500000000ull          /* ... so much, and up to twice that */
#define CODES 5000                     /* close codes; 0 counts connections that broke without one */
#define HEAD_ID "{\"type\":\"notification\",\"item\":{\"id\":\"t"
#define STAMP_DIGITS 20

enum state { IDLE, CONNECTING, SHAKING, GREETING, OPEN, ENDED, DEAF };
enum kind { NOTIFICATION, COUNTS, STATE, HELLO, PAGE, OTHER, KINDS };
static const char *const kind_names[KINDS] = {"notification", "counts", "state", "hello", "page", "other"};

struct client {
    const char *user, *token;
    char cursor[CURSOR_CHARS];
    int fd;
    enum state state;
    uint64_t again_ns; /* when to try again; 0: not waiting for that */
    uint8_t *rest;     /* of a frame that has not come whole */
    size_t rest_bytes, rest_room;
    uint32_t *ids;
    uint32_t ids_count, ids_room;
};

/* Latencies, log-linear: 32 buckets for every doubling, so at most 3 % off. In µs. */
#define SUB 32
#define BUCKETS (SUB * 40)
static uint64_t histogram[BUCKETS], timed, latency_max;

static struct client *clients;
static size_t clients_count, opened, opening, at_once = 256, next_client, retries, waiting_again;
static int poller, bare, keep_ids, want_opened;
static uint64_t frames_of[KINDS], bytes_read, closed_by[CODES], marked_ns, want_notifications, last_ns;
static struct sockaddr_in address;
static char host_and_port[64];
static uint8_t *buffer;

static void fail(const char *what)
{
    fprintf(stderr, "sockets: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void *room_for(void *old, size_t bytes)
{
    void *made = realloc(old, bytes);
    if (made == NULL)
        fail("memory");
    return made;
}

/* Measuring */

static size_t bucket_of(uint64_t us)
{
    if (us < SUB)
        return (size_t)us;
    int doublings = 63 - __builtin_clzll(us) - 5;
    size_t bucket = (size_t)(doublings + 1) * SUB + (size_t)((us >> doublings) - SUB);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double middle_of(size_t bucket)
{
    if (bucket < SUB)
        return (double)bucket + 0.5;
    size_t doublings = bucket / SUB - 1;
    double width = (double)(1ull << doublings);
    return ((double)(bucket % SUB) + SUB + 0.5) * width;
}

static double latency_us(double share)
{
    uint64_t rank = (uint64_t)((double)timed * share), seen = 0;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram[bucket];
        if (seen > rank)
            return middle_of(bucket);
    }
    return (double)latency_max;
}

static void forget(void)
{
    memset(histogram, 0, sizeof histogram);
    memset(frames_of, 0, sizeof frames_of);
    memset(closed_by, 0, sizeof closed_by);
    timed = latency_max = bytes_read = retries = 0;
    for (size_t i = 0; i < clients_count; i++)
        clients[i].ids_count = 0;
    marked_ns = last_ns = now_ns();
}

static void report(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    uint64_t frames = 0;
    for (int kind = 0; kind < KINDS; kind++)
        frames += frames_of[kind];
    printf("{\"open\":%zu,\"seconds\":%.6f,\"until_last_s\":%.6f,\"cpu_s\":%.3f,\"frames\":%llu,\"bytes\":%llu,", opened,
           (double)(now_ns() - marked_ns) / 1e9, (double)(last_ns - marked_ns) / 1e9, cpu, (unsigned long long)frames,
           (unsigned long long)bytes_read);
    printf("\"retries\":%zu,\"types\":{", retries);
    for (int kind = 0; kind < KINDS; kind++)
        printf("%s\"%s\":%llu", kind ? "," : "", kind_names[kind], (unsigned long long)frames_of[kind]);
    printf("},\"closed\":{");
    for (int code = 0, some = 0; code < CODES; code++)
        if (closed_by[code])
            printf("%s\"%d\":%llu", some++ ? "," : "", code, (unsigned long long)closed_by[code]);
    printf("},\"timed\":%llu,\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%llu}}\n",
           (unsigned long long)timed, latency_us(0.5), latency_us(0.9), latency_us(0.99), latency_us(0.999),
           (unsigned long long)latency_max);
    fflush(stdout);
}

static void answer_if_due(void)
{
    if (want_opened && opened == clients_count) {
        want_opened = 0;
        printf("{\"open\":%zu,\"seconds\":%.6f,\"retries\":%zu}\n", opened, (double)(now_ns() - marked_ns) / 1e9, retries);
        fflush(stdout);
    }
    if (want_notifications && frames_of[NOTIFICATION] >= want_notifications) {
        want_notifications = 0;
        printf("{\"notifications\":%llu,\"seconds\":%.6f}\n", (unsigned long long)frames_of[NOTIFICATION],
               (double)(now_ns() - marked_ns) / 1e9);
        fflush(stdout);
    }
}

/* One connection */

static void begin(struct client *client)
{
    int yes = 1, small = 64 * 1024; /* of the kernel's memory: no socket is to soak up what the server says */
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        fail("socket");
    setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS)
        fail("connect");
    struct epoll_event wanted = {.events = EPOLLOUT, .data.ptr = client};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &wanted) != 0)
        fail("epoll_ctl");
    client->state = CONNECTING;
    client->again_ns = 0;
    client->rest_bytes = 0;
    opening++;
}

static void end(struct client *client, int code)
{
    enum state was = client->state;
    if (was == ENDED || was == IDLE)
        return;
    close(client->fd);
    free(client->rest);
    client->rest = NULL;
    client->rest_bytes = client->rest_room = 0;
    if (was == OPEN || was == DEAF) {
        closed_by[code > 0 && code < CODES ? code : 0]++;
        opened -= was == OPEN;
        client->state = ENDED;
        return;
    }
    opening--; /* not open yet: again, a little later */
    retries++;
    client->state = IDLE;
    uint64_t wait_ns = code == FULL ? FULL_NS : RETRY_NS;
    client->again_ns = now_ns() + wait_ns + (uint64_t)(rand() % 100) * (wait_ns / 100);
    waiting_again++;
}

static int put_out(struct client *client, const void *bytes, size_t count)
{
    if (send(client->fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count)
        return 1;
    end(client, 0);
    return 0;
}

/* A masked frame of the kind `opcode`; the mask is zeros, which masks nothing and is allowed. */
static int say(struct client *client, int opcode, const void *payload, size_t bytes)
{
    static uint8_t out[16 * 1024];
    size_t head = 2;
    if (bytes + 8 > sizeof out) {
        end(client, 0);
        return 0;
    }
    out[0] = (uint8_t)(0x80 | opcode);
    if (bytes < 126) {
        out[1] = (uint8_t)(0x80 | bytes);
    } else {
        out[1] = 0x80 | 126;
        out[2] = (uint8_t)(bytes >> 8);
        out[3] = (uint8_t)bytes;
        head = 4;
    }
    memset(out + head, 0, 4);
    memcpy(out + head + 4, payload, bytes);
    return put_out(client, out, head + 4 + bytes);
}

static void is_open(struct client *client)
{
    client->state = OPEN;
    opening--;
    opened++;
}

static void shake(struct client *client)
{
    char out[512];
    int count = snprintf(out, sizeof out,
                         "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                         host_and_port, bare ? "" : "Sec-WebSocket-Protocol: fanbell.v1\r\n");
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = client};
    epoll_ctl(poller, EPOLL_CTL_MOD, client->fd, &wanted);
    client->state = SHAKING;
    put_out(client, out, (size_t)count);
}

static void introduce(struct client *client)
{
    char out[10 * 1024];
    int count = snprintf(out, sizeof out, "{\"type\":\"connect\",\"user\":\"%s\"", client->user);
    if (client->token[0])
        count += snprintf(out + count, sizeof out - (size_t)count, ",\"token\":\"%s\"", client->token);
    if (client->cursor[0])
        count += snprintf(out + count, sizeof out - (size_t)count, ",\"cursor\":\"%s\"", client->cursor);
    count += snprintf(out + count, sizeof out - (size_t)count, "}");
    client->state = GREETING;
    say(client, 1, out, (size_t)count);
}

static int begins(const uint8_t *text, size_t bytes, const char *with)
{
    size_t length = strlen(with);
    return bytes >= length && memcmp(text, with, length) == 0;
}

static enum kind kind_of(const uint8_t *text, size_t bytes)
{
    if (!begins(text, bytes, "{\"type\":\""))
        return OTHER;
    const uint8_t *name = text + 9;
    for (int kind = 0; kind < OTHER; kind++)
        if (begins(name, bytes - 9, kind_names[kind]))
            return (enum kind)kind;
    return OTHER;
}

/* The cursor is the last member but for what is small, so it is looked for from the end. */
static void note_cursor(struct client *client, const uint8_t *text, size_t bytes)
{
    static const char name[] = "\"cursor\":\"";
    size_t length = sizeof name - 1;
    if (bytes < length)
        return;
    for (size_t at = bytes - length + 1; at-- > 0;)
        if (text[at] == '"' && memcmp(text + at, name, length) == 0) {
            const uint8_t *from = text + at + length, *to = memchr(from, '"', bytes - at - length);
            if (to != NULL && to - from < CURSOR_CHARS) {
                memcpy(client->cursor, from, (size_t)(to - from));
                client->cursor[to - from] = 0;
            }
            return;
        }
}

static void time_it(struct client *client, const uint8_t *text, size_t bytes, uint64_t now)
{
    size_t at = sizeof HEAD_ID - 1;
    if (bytes < at + STAMP_DIGITS + 2 || !begins(text, bytes, HEAD_ID))
        return;
    uint64_t then = 0;
    for (int i = 0; i < STAMP_DIGITS; i++)
        then = then * 10 + (uint64_t)(text[at++] - '0');
    if (then) {
        uint64_t us = now > then ? (now - then) / 1000 : 0;
        histogram[bucket_of(us)]++;
        timed++;
        if (us > latency_max)
            latency_max = us;
    }
    if (keep_ids) {
        if (client->ids_count == client->ids_room) {
            client->ids_room = client->ids_room ? client->ids_room * 2 : 32;
            client->ids = room_for(client->ids, client->ids_room * sizeof *client->ids);
        }
        client->ids[client->ids_count++] = (uint32_t)strtoul((const char *)text + at + 1, NULL, 10);
    }
}

/* One whole frame; whether the connection is still there. */
static int take(struct client *client, int opcode, const uint8_t *text, size_t bytes, uint64_t now)
{
    if (opcode == 9)
        return say(client, 10, text, bytes);
    if (opcode == 8) {
        int code = bytes >= 2 ? text[0] << 8 | text[1] : 0;
        if (say(client, 8, text, bytes >= 2 ? 2 : 0))
            end(client, code);
        return 0;
    }
    if (opcode != 1)
        return 1;
    enum kind kind = kind_of(text, bytes);
    frames_of[kind]++;
    last_ns = now;
    if (kind == NOTIFICATION)
        time_it(client, text, bytes, now);
    if (kind != COUNTS && !bare)
        note_cursor(client, text, bytes);
    if (kind == HELLO && client->state == GREETING)
        is_open(client);
    return 1;
}

/* Takes the whole frames at the beginning of `data`; how many bytes they were. Stops when the connection has ended. */
static size_t frames_in(struct client *client, const uint8_t *data, size_t count, uint64_t now)
{
    size_t at = 0;
    while (client->state >= GREETING && client->state <= OPEN && count - at >= 2) {
        size_t head = 2, bytes = data[at + 1] & 0x7f;
        if (bytes == 126) {
            head = 4;
            if (count - at < head)
                break;
            bytes = (size_t)data[at + 2] << 8 | data[at + 3];
        } else if (bytes == 127) {
            head = 10;
            if (count - at < head)
                break;
            bytes = 0;
            for (int i = 2; i < 10; i++)
                bytes = bytes << 8 | data[at + i];
            if (bytes > FRAME_BYTES_MAX) {
                end(client, 0);
                break;
            }
        }
        if (count - at < head + bytes)
            break;
        int opcode = data[at] & 0x0f;
        const uint8_t *payload = data + at + head;
        at += head + bytes;
        if (!take(client, opcode, payload, bytes, now))
            break;
    }
    return at;
}

static size_t answered(struct client *client, const uint8_t *data, size_t count)
{
    const uint8_t *end_of_head = memmem(data, count, "\r\n\r\n", 4);
    if (end_of_head == NULL)
        return 0;
    if (!begins(data, count, "HTTP/1.1 101 ")) {
        end(client, 0);
        return count;
    }
    if (bare)
        is_open(client);
    else
        introduce(client);
    return (size_t)(end_of_head - data) + 4;
}

static void hear(struct client *client)
{
    size_t kept = client->rest_bytes;
    if (kept)
        memcpy(buffer, client->rest, kept);
    ssize_t count = recv(client->fd, buffer + kept, READ_BYTES, 0);
    if (count <= 0) {
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        end(client, 0);
        return;
    }
    bytes_read += (uint64_t)count;
    size_t whole = kept + (size_t)count, at = 0;
    if (client->state == SHAKING)
        at = answered(client, buffer, whole);
    if (client->state == GREETING || client->state == OPEN)
        at += frames_in(client, buffer + at, whole - at, now_ns());
    if (client->state == ENDED || client->state == IDLE)
        return;
    client->rest_bytes = whole - at;
    if (client->rest_bytes > FRAME_BYTES_MAX) {
        end(client, 0);
    } else if (client->rest_bytes) {
        if (client->rest_bytes > client->rest_room)
            client->rest = room_for(client->rest, client->rest_room = client->rest_bytes);
        memcpy(client->rest, buffer + at, client->rest_bytes);
    } else if (client->rest) {
        free(client->rest);
        client->rest = NULL;
        client->rest_room = 0;
    }
}

static void ready(struct client *client, uint32_t events)
{
    if (client->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error)
            end(client, 0);
        else if (events & EPOLLOUT)
            shake(client);
    } else if (client->state != DEAF && client->state != ENDED && client->state != IDLE) {
        hear(client);
    }
}

/* Begin what may begin now; how long epoll may wait, ms. */
static int open_more(void)
{
    while (next_client < clients_count && opening < at_once)
        begin(&clients[next_client++]);
    if (!waiting_again)
        return -1;
    uint64_t now = now_ns();
    for (size_t i = 0; i < clients_count && opening < at_once; i++)
        if (clients[i].again_ns && clients[i].again_ns <= now) {
            waiting_again--;
            begin(&clients[i]);
        }
    return 10;
}

/* Commands */

static void go_deaf(size_t every)
{
    for (size_t i = 0; every && i < clients_count; i += every)
        if (clients[i].state == OPEN) {
            epoll_ctl(poller, EPOLL_CTL_DEL, clients[i].fd, NULL);
            clients[i].state = DEAF;
            opened--;
        }
}

static void write_out(const char *path, int ids)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        fail(path);
    for (size_t i = 0; i < clients_count; i++) {
        fprintf(file, "%s", clients[i].user);
        if (ids)
            for (uint32_t at = 0; at < clients[i].ids_count; at++)
                fprintf(file, "\t%u", clients[i].ids[at]);
        else
            fprintf(file, "\t%s", clients[i].cursor);
        fprintf(file, "\n");
    }
    if (fclose(file) != 0)
        fail(path);
    printf("{\"written\":%zu}\n", clients_count);
    fflush(stdout);
}

static void obey(char *line)
{
    char *word = strtok(line, " "), *more = strtok(NULL, "");
    if (word == NULL)
        return;
    if (strcmp(word, "opened") == 0) {
        want_opened = 1;
    } else if (strcmp(word, "mark") == 0) {
        forget();
        printf("{\"open\":%zu}\n", opened);
        fflush(stdout);
    } else if (strcmp(word, "until") == 0 && more) {
        want_notifications = strtoull(more, NULL, 10);
    } else if (strcmp(word, "report") == 0) {
        report();
    } else if (strcmp(word, "deaf") == 0 && more) {
        go_deaf(strtoull(more, NULL, 10));
    } else if ((strcmp(word, "cursors") == 0 || strcmp(word, "ids") == 0) && more) {
        write_out(more, word[0] == 'i');
    } else if (strcmp(word, "quit") == 0) {
        exit(0);
    } else {
        fprintf(stderr, "sockets: no such command: %s\n", word);
        exit(2);
    }
}

static void commands(void)
{
    static char said[4096];
    static size_t count;
    ssize_t got = read(0, said + count, sizeof said - 1 - count);
    if (got <= 0)
        exit(0); /* whoever started us is gone */
    count += (size_t)got;
    said[count] = 0;
    char *line = said, *stop;
    while ((stop = strchr(line, '\n')) != NULL) {
        *stop = 0;
        obey(line);
        line = stop + 1;
    }
    count -= (size_t)(line - said);
    memmove(said, line, count);
}

static void read_users(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail(path);
    char *line = NULL;
    size_t room = 0, clients_room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] == '\n')
            line[--length] = 0;
        char *kept = strdup(line), *cursor = NULL, *token = strchr(kept, '\t');
        if (token) {
            *token++ = 0;
            if ((cursor = strchr(token, '\t')) != NULL)
                *cursor++ = 0;
        }
        if (clients_count == clients_room) {
            clients_room = clients_room ? clients_room * 2 : 1024;
            clients = room_for(clients, clients_room * sizeof *clients);
        }
        struct client *client = &clients[clients_count++];
        memset(client, 0, sizeof *client);
        client->user = kept;
        client->token = token ? token : "";
        if (cursor && strlen(cursor) < CURSOR_CHARS)
            strcpy(client->cursor, cursor);
    }
    free(line);
    fclose(file);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: sockets HOST PORT USERS [--bare] [--at-once N] [--ids]\n");
        return 2;
    }
    for (int i = 4; i < argc; i++)
        if (strcmp(argv[i], "--bare") == 0)
            bare = 1;
        else if (strcmp(argv[i], "--ids") == 0)
            keep_ids = 1;
        else if (strcmp(argv[i], "--at-once") == 0 && i + 1 < argc)
            at_once = strtoull(argv[++i], NULL, 10);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
        fail("HOST must be an address");
    snprintf(host_and_port, sizeof host_and_port, "%s:%s", argv[1], argv[2]);
    read_users(argv[3]);
    buffer = room_for(NULL, FRAME_BYTES_MAX + READ_BYTES);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = NULL};
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, 0, &wanted) != 0)
        fail("epoll");
    forget();
    for (;;) {
        struct epoll_event events[512];
        int count = epoll_wait(poller, events, 512, open_more());
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++)
            if (events[i].data.ptr == NULL)
                commands();
            else
                ready(events[i].data.ptr, events[i].events);
        answer_if_due();
    }
}
