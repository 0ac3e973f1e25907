// Measuring instruments of `make bench`: each subcommand does one measurement and prints its raw figures, one per line.
// A process of its own, beside the server and the API server; knows nothing of DBNet's code.
//
//   probe bare <url> <ca> <cert> <key> <count> <in flight>   bare libcurl: applies <count> ConfigMaps bare-<i>;
//                                                            prints seconds and CPU seconds
//   probe fill <url> <ca> <cert> <key> <count> <bytes>       the same into namespace import, with values of so many
//                                                            bytes, 64 in flight
//   probe list <url> <ca> <cert> <key> <path>                reads a list in pages of 500 on one connection;
//                                                            prints seconds, objects and bytes
//   probe watch <url> <ca> <cert> <key> <path>               watches, until it is killed; prints "ready", then
//                                                            "<name> <time in µs>" of each object that an event has
//   probe commits <conninfo> <count> <pause ms>              commits UPDATEs of bench.latency;
//                                                            prints "<key> <time in µs>"
//   probe hot <conninfo> <updates/s> <seconds>               updates the row of bench.hot at a steady pace, if it can;
//                                                            prints the number of updates, the last value and the time
//                                                            of its commit in µs
//   probe rows <conninfo> <statement> <key> <limit s>        runs <statement> ($1 = key) until it yields a row;
//                                                            prints the time in µs
//   probe load <conninfo> <rows/s> <seconds>                 inserts into bench.load at a steady pace;
//                                                            prints rows/s reached
//   probe backend <conninfo> <count> <blocks> <statement>…   runs the statements in turn, each time in <count>
//                                                            transactions; prints per block the CPU seconds that the
//                                                            backend took for each, in their order
//   probe telemetry <conninfo> <protobuf|json|jsonb> <spans> <requests> <blocks>
//                                                            so many requests of so many spans through
//                                                            otel.ingest_traces, then the same rows by binary COPY,
//                                                            a transaction each; prints per block the seconds of
//                                                            both, then the CPU seconds that the backend took for both
//   probe copy <conninfo> <connections> <spans> <requests>   copies rows of otel.spans into it, so many in a
//                                                            transaction, on so many connections at a time; prints
//                                                            rows/s, the milliseconds of a transaction (p50, p99) and
//                                                            the seconds of CPU that the backends took
#include <curl/curl.h>
#include <libpq-fe.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string &what) {
    std::fprintf(stderr, "probe: %s\n", what.c_str());
    std::exit(1);
}

long long wall_microseconds() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

void use_credentials(CURL *handle, const char *ca, const char *certificate, const char *key) {
    curl_easy_setopt(handle, CURLOPT_CAINFO, ca);
    curl_easy_setopt(handle, CURLOPT_SSLCERT, certificate);
    curl_easy_setopt(handle, CURLOPT_SSLKEY, key);
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
}

size_t discard(char *, size_t size, size_t count, void *) {
    return size * count;
}

// The reference of actuation.rows_ratio: what one thread of plain libcurl reaches against the same server.
void bare(const char *url, const char *ca, const char *certificate, const char *key, int count, int in_flight,
          const std::string &name_space = "default", const std::string &value = "1") {
    curl_global_init(CURL_GLOBAL_ALL);
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(in_flight));
    curl_slist *headers = curl_slist_append(nullptr, "Content-Type: application/apply-patch+yaml");
    headers = curl_slist_append(headers, "Expect:");
    int next = 0;
    std::vector<std::string> bodies(in_flight);
    auto load = [&](CURL *handle, int slot) {
        std::string name = "bare-" + std::to_string(next++);
        bodies[slot] = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + name + R"(","namespace":")" +
                       name_space +
                       R"(","annotations":{"dbnet.io/stamp":"7300000000000000000/1/0/1234568/0"}},"data":{"value":")" +
                       value + "\"}}";
        std::string address = std::string(url) + "/api/v1/namespaces/" + name_space + "/configmaps/" + name +
                              "?fieldManager=bare&force=false&fieldValidation=Strict";
        curl_easy_setopt(handle, CURLOPT_URL, address.c_str());
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, static_cast<long>(bodies[slot].size()));
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, bodies[slot].data());
    };
    auto start = Clock::now();
    for (int slot = 0; slot < in_flight && next < count; ++slot) {
        CURL *handle = curl_easy_init();
        use_credentials(handle, ca, certificate, key);
        curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, "PATCH");
        curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, discard);
        curl_easy_setopt(handle, CURLOPT_PRIVATE, reinterpret_cast<void *>(static_cast<intptr_t>(slot)));
        load(handle, slot);
        curl_multi_add_handle(multi, handle);
    }
    int running = 0;
    int done = 0;
    while (done < count) {
        curl_multi_perform(multi, &running);
        int left = 0;
        while (CURLMsg *message = curl_multi_info_read(multi, &left)) {
            if (message->msg != CURLMSG_DONE)
                continue;
            CURL *handle = message->easy_handle;
            long status = 0;
            curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
            if (message->data.result != CURLE_OK || status / 100 != 2)
                fail("bare client: " + std::string(curl_easy_strerror(message->data.result)) + ", HTTP " +
                     std::to_string(status));
            ++done;
            void *slot = nullptr;
            curl_easy_getinfo(handle, CURLINFO_PRIVATE, &slot);
            curl_multi_remove_handle(multi, handle);
            if (next < count) {
                load(handle, static_cast<int>(reinterpret_cast<intptr_t>(slot)));
                curl_multi_add_handle(multi, handle);
            } else {
                curl_easy_cleanup(handle);
            }
        }
        if (done < count)
            curl_multi_poll(multi, nullptr, 0, 100, nullptr);
    }
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds_of = [](const timeval &time) { return time.tv_sec + time.tv_usec / 1e6; };
    std::printf("%.6f %.6f\n", std::chrono::duration<double>(Clock::now() - start).count(),
                seconds_of(used.ru_utime) + seconds_of(used.ru_stime));
}

size_t keep(char *data, size_t size, size_t count, void *body) {
    static_cast<std::string *>(body)->append(data, size * count);
    return size * count;
}

// The reference of import.objects_50k_s: the same list, read and thrown away.
void list(const char *url, const char *ca, const char *certificate, const char *key, const char *path) {
    curl_global_init(CURL_GLOBAL_ALL);
    CURL *handle = curl_easy_init();
    use_credentials(handle, ca, certificate, key);
    std::string body;
    curl_easy_setopt(handle, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &body);
    const auto start = Clock::now();
    size_t objects = 0, bytes = 0;
    std::string token;
    do {
        body.clear();
        const std::string address =
            std::string(url) + path + "?limit=500" + (token.empty() ? "" : "&continue=" + token);
        curl_easy_setopt(handle, CURLOPT_URL, address.c_str());
        long status = 0;
        if (curl_easy_perform(handle) != CURLE_OK ||
            curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status != 200)
            fail("list: HTTP " + std::to_string(status) + " " + body.substr(0, 200));
        bytes += body.size();
        for (size_t at = 0; (at = body.find("\"uid\":", at)) != std::string::npos; ++at)
            ++objects;
        const std::string_view member = "\"continue\":\"";
        const size_t at = body.find(member);
        token = at == std::string::npos
                    ? ""
                    : body.substr(at + member.size(), body.find('"', at + member.size()) - at - member.size());
    } while (!token.empty());
    std::printf("%.6f %zu %zu\n", std::chrono::duration<double>(Clock::now() - start).count(), objects, bytes);
}

// When an event comes to a client that does nothing with it: `line` is a std::string, what has come of a line.
size_t note_events(char *data, size_t size, size_t count, void *line) {
    const long long now = wall_microseconds();
    std::string &text = static_cast<std::string *>(line)->append(data, size * count);
    const std::string_view member = "\"name\":\"";
    for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1))
        if (const size_t at = text.find(member); at < end) {
            const size_t name = at + member.size();
            std::printf("%s %lld\n", text.substr(name, text.find('"', name) - name).c_str(), now);
        }
    std::fflush(stdout);
    return size * count;
}

size_t say_ready(char *, size_t size, size_t count, void *) {
    if (size * count == 2) { // the empty line after the headers
        std::puts("ready");
        std::fflush(stdout);
    }
    return size * count;
}

void watch(const char *url, const char *ca, const char *certificate, const char *key, const char *path) {
    curl_global_init(CURL_GLOBAL_ALL);
    CURL *handle = curl_easy_init();
    use_credentials(handle, ca, certificate, key);
    std::string line;
    curl_easy_setopt(handle, CURLOPT_URL, (std::string(url) + path + "?watch=true").c_str());
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, say_ready);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, note_events);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &line);
    fail(std::string("watch: ") + curl_easy_strerror(curl_easy_perform(handle)));
}

PGconn *connect(const char *conninfo) {
    PGconn *connection = PQconnectdb(conninfo);
    if (PQstatus(connection) != CONNECTION_OK)
        fail(PQerrorMessage(connection));
    return connection;
}

PGresult *run(PGconn *connection, const char *statement, std::vector<const char *> values = {}) {
    PGresult *result = PQexecParams(connection, statement, static_cast<int>(values.size()), nullptr, values.data(),
                                    nullptr, nullptr, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail(std::string(statement) + ": " + PQerrorMessage(connection));
    return result;
}

void commits(const char *conninfo, int count, int pause) {
    PGconn *connection = connect(conninfo);
    for (int i = 0; i < count; ++i) {
        std::string name = "latency-" + std::to_string(i);
        PQclear(run(connection, "UPDATE bench.latency SET value = 'changed' WHERE name = $1", {name.c_str()}));
        std::printf("%s %lld\n", name.c_str(), wall_microseconds());
        std::this_thread::sleep_for(std::chrono::milliseconds(pause));
    }
}

void hot(const char *conninfo, int pace, int seconds) {
    PGconn *connection = connect(conninfo);
    PQclear(PQprepare(connection, "hot", "UPDATE bench.hot SET value = $1", 0, nullptr));
    const long long first = wall_microseconds();
    const auto start = Clock::now();
    long long updates = 0, committed = 0;
    std::string value;
    while (Clock::now() - start < std::chrono::seconds(seconds)) {
        value = std::to_string(first + updates);
        const char *values[] = {value.c_str()};
        PGresult *result = PQexecPrepared(connection, "hot", 1, values, nullptr, nullptr, 0);
        committed = wall_microseconds();
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            fail(PQerrorMessage(connection));
        PQclear(result);
        ++updates;
        std::this_thread::sleep_until(start + std::chrono::microseconds(1'000'000 * updates / pace));
    }
    std::printf("%lld %s %lld\n", updates, value.c_str(), committed);
}

void rows(const char *conninfo, const char *statement, const char *key, int limit) {
    PGconn *connection = connect(conninfo);
    auto end = Clock::now() + std::chrono::seconds(limit);
    std::puts("ready");
    std::fflush(stdout);
    while (Clock::now() < end) {
        PGresult *result = run(connection, statement, {key});
        long long now = wall_microseconds();
        if (PQntuples(result) > 0) {
            std::printf("%lld\n", now);
            return;
        }
        PQclear(result);
    }
    fail(std::string("no row for ") + key);
}

void load(const char *conninfo, int pace, int seconds) {
    PGconn *connection = connect(conninfo);
    auto start = Clock::now();
    long long inserted = 0;
    std::string batch = std::to_string(pace / 20);
    while (Clock::now() - start < std::chrono::seconds(seconds)) {
        PQclear(run(connection, "INSERT INTO bench.load SELECT n, 'row ' || n FROM generate_series(1, $1::int) AS n",
                    {batch.c_str()}));
        inserted += pace / 20;
        std::this_thread::sleep_until(start + std::chrono::milliseconds(1000 * inserted / pace));
    }
    std::printf("%.0f\n", inserted / std::chrono::duration<double>(Clock::now() - start).count());
}

// Nanoseconds that the scheduler gave the backend, so that waiting and the client cost nothing.
long long backend_nanoseconds(int pid) {
    std::ifstream statistics("/proc/" + std::to_string(pid) + "/schedstat");
    long long nanoseconds = 0;
    statistics >> nanoseconds;
    return nanoseconds;
}

// In a pipeline, so that what is measured is the backend's work and not what it costs the machine to put it to sleep
// and to wake it for each transaction. As many answers as a socket holds: all are asked for before the first is read.
constexpr int most_in_flight = 100;

// Looked for and not waited for: a backend wakes whoever waits for its answers, which can be a fifth of what it does,
// and the more often the slower it is.
void look_for_answer(PGconn *connection) {
    constexpr std::chrono::microseconds pause(500);
    while (PQisBusy(connection) == 1) {
        std::this_thread::sleep_for(pause);
        if (PQconsumeInput(connection) != 1)
            fail(PQerrorMessage(connection));
    }
}

void run_pipelined(PGconn *connection, int statement, int count) {
    const std::string name = std::to_string(statement);
    for (int i = 0; i < count; ++i)
        if (PQsendQueryPrepared(connection, name.c_str(), 0, nullptr, nullptr, nullptr, 0) != 1 ||
            PQpipelineSync(connection) != 1)
            fail(PQerrorMessage(connection));
    for (int i = 0; i < count; ++i)
        for (ExecStatusType status = PGRES_COMMAND_OK; status != PGRES_PIPELINE_SYNC;) {
            look_for_answer(connection);
            PGresult *result = PQgetResult(connection);
            if (result == nullptr) // the end of one statement's results
                continue;
            status = PQresultStatus(result);
            if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_PIPELINE_SYNC)
                fail(PQerrorMessage(connection));
            PQclear(result);
        }
}

// One connection and short blocks: what else happens on the machine meets both statements alike.
void backend(const char *conninfo, int count, int blocks, char **statements, int number) {
    PGconn *connection = connect(conninfo);
    for (int index = 0; index < number; ++index) {
        PGresult *prepared = PQprepare(connection, std::to_string(index).c_str(), statements[index], 0, nullptr);
        if (PQresultStatus(prepared) != PGRES_COMMAND_OK)
            fail(PQerrorMessage(connection));
        PQclear(prepared);
    }
    if (PQenterPipelineMode(connection) != 1)
        fail(PQerrorMessage(connection));
    const auto block = [&](int index) {
        const long long before = backend_nanoseconds(PQbackendPID(connection));
        for (int done = 0; done < count; done += most_in_flight)
            run_pipelined(connection, index, std::min(count - done, most_in_flight));
        return (backend_nanoseconds(PQbackendPID(connection)) - before) / 1e9;
    };
    for (int index = 0; index < number; ++index)
        block(index); // plans and caches
    std::vector<double> seconds(number);
    for (int i = 0; i < blocks; ++i) {
        for (int index = 0; index < number; ++index)
            seconds[(index + i) % number] = block((index + i) % number);
        for (int index = 0; index < number; ++index)
            std::printf("%.9f%c", seconds[index], index + 1 < number ? ' ' : '\n');
    }
}

// ---- telemetry ----

// A request of spans such as an HTTP server's instrumentation makes: 8 attributes, about 330 bytes each in protobuf.
class TraceRequest {
public:
    explicit TraceRequest(unsigned seed) : random_(seed) {}

    std::string protobuf(int spans) {
        std::string resource;
        for (const auto &[key, value] : resource_attributes)
            resource += field(1, attribute(key, value));
        std::string scope_spans = field(1, field(1, "io.opentelemetry.http") + field(2, "1.2.0"));
        for (int i = 0; i < spans; ++i)
            scope_spans += field(2, protobuf_span());
        return field(1, field(1, resource) + field(2, scope_spans));
    }

    std::string json(int spans) {
        std::string resource, list;
        for (const auto &[key, value] : resource_attributes)
            resource += (resource.empty() ? "" : ",") + json_attribute(key, json_string(value));
        for (int i = 0; i < spans; ++i)
            list += (i == 0 ? "" : ",") + json_span();
        return R"({"resourceSpans":[{"resource":{"attributes":[)" + resource +
               R"(]},"scopeSpans":[{"scope":{"name":"io.opentelemetry.http","version":"1.2.0"},"spans":[)" + list +
               "]}]}]}";
    }

private:
    static constexpr std::pair<const char *, const char *> resource_attributes[] = {
        {"service.name", "cart"},
        {"service.instance.id", "cart-7d9f"},
        {"k8s.node.name", "node-1"},
        {"k8s.pod.name", "cart-7d9f-x"}};
    static constexpr std::pair<const char *, const char *> texts[] = {
        {"http.request.method", "GET"},
        {"http.route", "/api/v1/cart/{id}"},
        {"server.address", "cart.shop.svc.cluster.local"},
        {"user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"}};
    static constexpr std::pair<const char *, int> numbers[] = {{"http.response.status_code", 200},
                                                               {"server.port", 8080}};

    std::string bytes(size_t count) {
        std::string made;
        while (made.size() < count)
            made += static_cast<char>(random_());
        return made;
    }
    static std::string hex(const std::string &bytes) {
        std::string text;
        for (const char byte : bytes) {
            char digits[3];
            std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
            text += digits;
        }
        return text;
    }
    static std::string number(unsigned long long value) {
        std::string made;
        for (; value >= 0x80; value >>= 7)
            made += static_cast<char>(value | 0x80);
        return made + static_cast<char>(value);
    }
    static std::string field(int id, const std::string &value) {
        return number(static_cast<unsigned>(id << 3 | 2)) + number(value.size()) + value;
    }
    static std::string field(int id, unsigned long long value) {
        return number(static_cast<unsigned>(id << 3)) + number(value);
    }
    static std::string fixed(int id, unsigned long long value) {
        return number(static_cast<unsigned>(id << 3 | 1)) + std::string(reinterpret_cast<const char *>(&value), 8);
    }
    static std::string attribute(const std::string &key, const std::string &value) {
        return field(1, key) + field(2, field(1, value));
    }
    static std::string attribute(const std::string &key, int value) {
        return field(1, key) + field(2, field(3, static_cast<unsigned long long>(value)));
    }
    static std::string json_string(const std::string &value) { return R"({"stringValue":")" + value + "\"}"; }
    static std::string json_attribute(const std::string &key, const std::string &value) {
        return R"({"key":")" + key + R"(","value":)" + value + "}";
    }

    std::string peer() { return "10.1." + std::to_string(random_() % 256) + "." + std::to_string(random_() % 256); }

    std::string protobuf_span() {
        const unsigned long long end = wall_microseconds() * 1000ULL, start = end - 100'000 - random_() % 100'000'000;
        std::string span = field(1, bytes(16)) + field(2, bytes(8)) + field(4, bytes(8)) +
                           field(5, "GET /api/v1/cart/{id}") + field(6, 2ULL) + fixed(7, start) + fixed(8, end);
        for (const auto &[key, value] : texts)
            span += field(9, attribute(key, value));
        for (const auto &[key, value] : numbers)
            span += field(9, attribute(key, value));
        span += field(9, attribute("network.peer.address", peer()));
        span += field(9, attribute("thread.id", static_cast<int>(random_() % 64)));
        return random_() % 50 == 0 ? span + field(15, field(3, 2ULL)) : span;
    }

    std::string json_span() {
        const unsigned long long end = wall_microseconds() * 1000ULL, start = end - 100'000 - random_() % 100'000'000;
        std::string attributes;
        for (const auto &[key, value] : texts)
            attributes += json_attribute(key, json_string(value)) + ",";
        for (const auto &[key, value] : numbers)
            attributes += json_attribute(key, R"({"intValue":")" + std::to_string(value) + "\"}") + ",";
        attributes += json_attribute("network.peer.address", json_string(peer())) + ",";
        attributes += json_attribute("thread.id", R"({"intValue":")" + std::to_string(random_() % 64) + "\"}");
        return R"({"traceId":")" + hex(bytes(16)) + R"(","spanId":")" + hex(bytes(8)) + R"(","parentSpanId":")" +
               hex(bytes(8)) + R"(","name":"GET /api/v1/cart/{id}","kind":2,"startTimeUnixNano":")" +
               std::to_string(start) + R"(","endTimeUnixNano":")" + std::to_string(end) + R"(","attributes":[)" +
               attributes + R"(],"status":{)" + (random_() % 50 == 0 ? R"("code":2)" : "") + "}}";
    }

    std::mt19937_64 random_;
};

// What otel.spans holds, as bodies of COPY … (FORMAT binary) of so many rows each.
std::vector<std::string> copy_bodies(PGconn *connection, int rows_each, const char *source = "otel.spans") {
    constexpr size_t header = 19; // signature, flags, no extension
    PQclear(PQexec(connection, ("COPY (SELECT * FROM " + std::string(source) + ") TO STDOUT (FORMAT binary)").c_str()));
    std::string all;
    char *chunk = nullptr;
    for (int size; (size = PQgetCopyData(connection, &chunk, 0)) > 0; PQfreemem(chunk))
        all.append(chunk, static_cast<size_t>(size));
    PQclear(PQgetResult(connection));
    std::vector<std::string> bodies;
    const std::string begin = all.substr(0, header), end("\xff\xff", 2);
    const auto big_endian = [&](size_t at, int size) {
        long long value = static_cast<signed char>(all[at]);
        for (int i = 1; i < size; ++i)
            value = value << 8 | static_cast<unsigned char>(all[at + static_cast<size_t>(i)]);
        return value;
    };
    int rows = 0;
    for (size_t at = header; big_endian(at, 2) >= 0;) {
        const size_t start = at;
        const long long fields = big_endian(at, 2);
        at += 2;
        for (long long i = 0; i < fields; ++i) {
            const long long length = big_endian(at, 4);
            at += 4 + static_cast<size_t>(length > 0 ? length : 0);
        }
        if (rows == 0)
            bodies.push_back(begin);
        bodies.back().append(all, start, at - start);
        rows = (rows + 1) % rows_each;
    }
    for (std::string &body : bodies)
        body += end;
    return bodies;
}

void copy_spans(PGconn *connection, const std::string &body) {
    PQclear(PQexec(connection, "COPY otel.spans FROM STDIN (FORMAT binary)"));
    if (PQputCopyData(connection, body.data(), static_cast<int>(body.size())) != 1 ||
        PQputCopyEnd(connection, nullptr) != 1)
        fail(PQerrorMessage(connection));
    PGresult *result = PQgetResult(connection);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail(PQerrorMessage(connection));
    PQclear(result);
    PQclear(PQgetResult(connection));
}

void telemetry(const char *conninfo, const std::string &encoding, int spans, int requests, int blocks) {
    PGconn *connection = connect(conninfo);
    const bool is_json = encoding != "protobuf";
    std::vector<std::string> bodies;
    TraceRequest made(1);
    for (int i = 0; i < requests; ++i)
        bodies.push_back(is_json ? made.json(spans) : made.protobuf(spans));
    const std::string statement = "SELECT otel.ingest_traces($1::" + (is_json ? encoding : std::string("bytea")) + ")";
    PQclear(PQprepare(connection, "ingest", statement.c_str(), 0, nullptr));
    const auto execute = [&](const char *command) { PQclear(run(connection, command)); };
    using Seconds = std::pair<double, double>; // that passed, that the backend computed
    const auto measured = [&](auto send_all) {
        execute("TRUNCATE otel.spans, otel.span_pane, otel.batch");
        execute("CHECKPOINT");
        const long long before = backend_nanoseconds(PQbackendPID(connection));
        const auto start = Clock::now();
        send_all();
        const std::chrono::duration<double> passed = Clock::now() - start;
        return Seconds{passed.count(),
                       static_cast<double>(backend_nanoseconds(PQbackendPID(connection)) - before) / 1e9};
    };
    const auto ingest = [&] {
        for (const std::string &body : bodies) {
            const char *value = body.data();
            const int length = static_cast<int>(body.size()), format = is_json ? 0 : 1;
            PGresult *result = PQexecPrepared(connection, "ingest", 1, &value, &length, &format, 0);
            if (PQresultStatus(result) != PGRES_TUPLES_OK)
                fail(PQerrorMessage(connection));
            PQclear(result);
        }
    };
    measured(ingest);
    const std::vector<std::string> rows = copy_bodies(connection, spans);
    const auto copy = [&] {
        for (const std::string &body : rows)
            copy_spans(connection, body);
    };
    measured(copy);
    for (int i = 0; i < blocks; ++i) {
        const Seconds ours = measured(ingest), reference = measured(copy);
        std::printf("%.6f %.6f %.6f %.6f\n", ours.first, reference.first, ours.second, reference.second);
        std::fflush(stdout);
    }
    execute("TRUNCATE otel.spans, otel.span_pane, otel.batch");
}

// The reference of what goes through the gateway: as many connections, rows and transactions, and nothing but COPY.
void copy(const char *conninfo, int connections, int spans, int requests) {
    constexpr int distinct_bodies = 32;
    PGconn *first = connect(conninfo);
    const std::vector<std::string> bodies =
        copy_bodies(first, spans, ("otel.spans LIMIT " + std::to_string(distinct_bodies * spans)).c_str());
    PQfinish(first);
    std::vector<PGconn *> sessions;
    for (int i = 0; i < connections; ++i) {
        sessions.push_back(connect(conninfo));
        copy_spans(sessions.back(), bodies.front()); // its caches are filled
    }
    const auto computed = [&] {
        long long nanoseconds = 0;
        for (PGconn *session : sessions)
            nanoseconds += backend_nanoseconds(PQbackendPID(session));
        return nanoseconds;
    };
    const long long before = computed();
    std::atomic<int> begun = 0;
    std::vector<std::vector<double>> milliseconds(sessions.size());
    const auto start = Clock::now();
    std::vector<std::thread> threads;
    for (size_t i = 0; i < sessions.size(); ++i)
        threads.emplace_back([&, i] {
            for (int request; (request = begun++) < requests;) {
                const auto sent = Clock::now();
                copy_spans(sessions[i], bodies[static_cast<size_t>(request) % bodies.size()]);
                milliseconds[i].push_back(std::chrono::duration<double, std::milli>(Clock::now() - sent).count());
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    const std::chrono::duration<double> seconds = Clock::now() - start;
    std::vector<double> all;
    for (const std::vector<double> &one : milliseconds)
        all.insert(all.end(), one.begin(), one.end());
    std::sort(all.begin(), all.end());
    std::printf("%.0f %.3f %.3f %.6f\n", spans * requests / seconds.count(), all[all.size() / 2],
                all[all.size() * 99 / 100], static_cast<double>(computed() - before) / 1e9);
    for (PGconn *session : sessions)
        PQfinish(session);
}

} // namespace

int main(int argc, char **argv) {
    std::string command = argc > 1 ? argv[1] : "";
    if (command == "bare" && argc == 8)
        bare(argv[2], argv[3], argv[4], argv[5], std::atoi(argv[6]), std::atoi(argv[7]));
    else if (command == "fill" && argc == 8)
        bare(argv[2], argv[3], argv[4], argv[5], std::atoi(argv[6]), 64, "import",
             std::string(static_cast<size_t>(std::atoi(argv[7])), 'x'));
    else if (command == "watch" && argc == 7)
        watch(argv[2], argv[3], argv[4], argv[5], argv[6]);
    else if (command == "list" && argc == 7)
        list(argv[2], argv[3], argv[4], argv[5], argv[6]);
    else if (command == "commits" && argc == 5)
        commits(argv[2], std::atoi(argv[3]), std::atoi(argv[4]));
    else if (command == "hot" && argc == 5)
        hot(argv[2], std::atoi(argv[3]), std::atoi(argv[4]));
    else if (command == "rows" && argc == 6)
        rows(argv[2], argv[3], argv[4], std::atoi(argv[5]));
    else if (command == "load" && argc == 5)
        load(argv[2], std::atoi(argv[3]), std::atoi(argv[4]));
    else if (command == "backend" && argc > 5)
        backend(argv[2], std::atoi(argv[3]), std::atoi(argv[4]), argv + 5, argc - 5);
    else if (command == "telemetry" && argc == 7)
        telemetry(argv[2], argv[3], std::atoi(argv[4]), std::atoi(argv[5]), std::atoi(argv[6]));
    else if (command == "copy" && argc == 6)
        copy(argv[2], std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]));
    else
        fail("see the head of test/bench/probe.cpp for its subcommands");
    return 0;
}
