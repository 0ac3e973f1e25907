// Load for the gateway: sends OTLP trace requests over keep-alive connections, each with one request at a time, and
// prints "<spans/s> <p50 ms> <p99 ms> <requests not answered with 200>"; where the gateway is gone before the end,
// "<requests answered with 200> <connections>" and exit status 3. Bodies are made before the clock starts.
//
//     bench_otlp <port> <protobuf|json> <connections> <spans per request> <requests>
//
// A span is what instrumented HTTP services send: 8 attributes, about 330 bytes of protobuf.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int distinct_bodies = 32;
constexpr uint64_t spans_of_trace = 10;
constexpr struct {
    const char *key, *value;
} attributes[] = {
    {"http.request.method", "GET"},
    {"url.path", "/api/v1/carts/3f2c9a/items"},
    {"http.route", "/api/v1/carts/{cart}/items"},
    {"server.address", "cart.shop.svc.cluster.local"},
    {"network.protocol.version", "1.1"},
    {"user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"},
    {"thread.name", "http-nio-8080-exec-7"},
};

[[noreturn]] void fail(const char *what) {
    std::perror(what);
    std::exit(1);
}

// --- Bodies ---

void put_varint(std::string &out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        out += static_cast<char>(value | 0x80);
    out += static_cast<char>(value);
}
void put_bytes(std::string &out, unsigned field, std::string_view bytes) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.size());
    out += bytes;
}
void put_number(std::string &out, unsigned field, uint64_t value) {
    put_varint(out, field << 3);
    put_varint(out, value);
}
void put_fixed64(std::string &out, unsigned field, uint64_t value) {
    put_varint(out, field << 3 | 1);
    out.append(reinterpret_cast<const char *>(&value), sizeof value);
}
std::string message(unsigned field, std::string_view bytes) {
    std::string out;
    put_bytes(out, field, bytes);
    return out;
}
std::string key_value(std::string_view key, const std::string &value) {
    return message(1, key) + message(2, value);
}

// Of the span with that number: spans_of_trace of them are of one trace; those of another run are of others.
struct Ids {
    uint64_t trace[2], span;
};
Ids ids_of(uint64_t number, uint64_t end) {
    const uint64_t trace = number / spans_of_trace + 1;
    return {{(trace ^ end) * 0x9e3779b97f4a7c15, (trace ^ end) * 0xd6e8feb86659fd93 | 1},
            (number ^ end) * 0xbf58476d1ce4e5b9 | 1};
}

std::string protobuf_span(uint64_t number, uint64_t end) {
    const auto [trace, id] = ids_of(number, end);
    std::string span;
    put_bytes(span, 1, {reinterpret_cast<const char *>(trace), 16});
    put_bytes(span, 2, {reinterpret_cast<const char *>(&id), 8});
    put_bytes(span, 4, {reinterpret_cast<const char *>(&id), 8});
    put_bytes(span, 5, "GET /api/v1/carts/{cart}/items");
    put_number(span, 6, 2);
    put_fixed64(span, 7, end - 1'000'000 * (1 + number % 97));
    put_fixed64(span, 8, end);
    for (const auto &attribute : attributes)
        put_bytes(span, 9, key_value(attribute.key, message(1, attribute.value)));
    std::string status_code;
    put_number(status_code, 3, number % 100 == 0 ? 500 : 200);
    put_bytes(span, 9, key_value("http.response.status_code", status_code));
    return span;
}

std::string protobuf_body(uint64_t first, int count, uint64_t end) {
    std::string spans = message(1, key_value("name", "bench")); // scope
    for (int i = 0; i < count; i++)
        put_bytes(spans, 2, protobuf_span(first + static_cast<uint64_t>(i), end));
    std::string resource;
    for (const auto &[key, value] : {std::pair{"service.name", "cart"}, {"k8s.node.name", "node-1"}})
        put_bytes(resource, 1, key_value(key, message(1, value)));
    return message(1, message(1, resource) + message(2, spans));
}

std::string json_body(uint64_t first, int count, uint64_t end) {
    std::string body =
        R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}},)"
        R"({"key":"k8s.node.name","value":{"stringValue":"node-1"}}]},"scopeSpans":[{"scope":{"name":"bench"},"spans":[)";
    for (int i = 0; i < count; i++) {
        const uint64_t number = first + static_cast<uint64_t>(i);
        const auto [trace, id] = ids_of(number, end);
        char head[512];
        std::snprintf(
            head, sizeof head,
            R"(%s{"traceId":"%016lx%016lx","spanId":"%016lx","parentSpanId":"%016lx","name":"GET /api/v1/carts/{cart}/items",)"
            R"("kind":2,"startTimeUnixNano":"%lu","endTimeUnixNano":"%lu","attributes":[)",
            i ? "," : "", trace[0], trace[1], id, id, end - 1'000'000 * (1 + number % 97), end);
        body += head;
        for (const auto &attribute : attributes)
            body += std::string(R"({"key":")") + attribute.key + R"(","value":{"stringValue":")" + attribute.value +
                    R"("}},)";
        body += R"({"key":"http.response.status_code","value":{"intValue":")" +
                std::to_string(number % 100 ? 200 : 500) + R"("}}]})";
    }
    return body + "]}]}]}";
}

// --- Connections ---

struct Connection {
    int socket = -1;
    const std::string *request = nullptr; // under way
    size_t sent = 0;
    std::string received;
    Clock::time_point start;
};

// The length of the answer in `received`, 0: it is not complete yet.
size_t answer_length(const std::string &received) {
    const size_t end = received.find("\r\n\r\n");
    if (end == received.npos)
        return 0;
    const size_t at = received.find("Content-Length: ");
    const size_t body = at < end ? std::strtoul(received.c_str() + at + 16, nullptr, 10) : 0;
    return received.size() >= end + 4 + body ? end + 4 + body : 0;
}

} // namespace

int main(int count, char **arguments) {
    if (count != 6) {
        std::fprintf(stderr, "usage: bench_otlp <port> <protobuf|json> <connections> <spans per request> <requests>\n");
        return 2;
    }
    const bool is_json = std::strcmp(arguments[2], "json") == 0;
    const int connection_count = std::atoi(arguments[3]), spans = std::atoi(arguments[4]),
              total = std::atoi(arguments[5]);

    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t end = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
    std::vector<std::string> requests;
    for (int i = 0; i < distinct_bodies; i++) {
        const uint64_t first = static_cast<uint64_t>(i) * static_cast<uint64_t>(spans) + 10;
        const std::string body = is_json ? json_body(first, spans, end) : protobuf_body(first, spans, end);
        requests.push_back("POST /v1/traces HTTP/1.1\r\nHost: bench\r\nContent-Type: " +
                           std::string(is_json ? "application/json" : "application/x-protobuf") +
                           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }

    const int poll = epoll_create1(0);
    std::vector<Connection> connections(static_cast<size_t>(connection_count));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(arguments[1])));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (Connection &connection : connections) {
        connection.socket = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(connection.socket, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0)
            fail("connect");
        const int on = 1;
        setsockopt(connection.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLET;
        event.data.ptr = &connection;
        epoll_ctl(poll, EPOLL_CTL_ADD, connection.socket, &event);
    }

    int begun = 0, done = 0, refused = 0;
    std::vector<double> milliseconds;
    // False: the gateway has closed it.
    const auto receive = [](Connection &connection) {
        char piece[16384];
        ssize_t size;
        while ((size = recv(connection.socket, piece, sizeof piece, MSG_DONTWAIT)) > 0)
            connection.received.append(piece, static_cast<size_t>(size));
        return size < 0 && errno == EAGAIN;
    };
    const auto take_answer = [&](Connection &connection) {
        const size_t length = answer_length(connection.received);
        if (length == 0)
            return false;
        milliseconds.push_back(std::chrono::duration<double, std::milli>(Clock::now() - connection.start).count());
        refused += connection.received.compare(0, 12, "HTTP/1.1 200") != 0;
        connection.received.erase(0, length);
        done++;
        return true;
    };
    const auto gone = [&] {
        for (Connection &connection : connections) { // what it has answered before
            receive(connection);
            take_answer(connection);
        }
        std::fprintf(stderr, "the gateway closed a connection\n");
        std::printf("%d %d\n", done - refused, connection_count);
        std::exit(3);
    };
    const auto send_more = [&](Connection &connection) {
        while (connection.request && connection.sent < connection.request->size()) {
            const ssize_t size = send(connection.socket, connection.request->data() + connection.sent,
                                      connection.request->size() - connection.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (size < 0 && errno != EAGAIN)
                gone();
            if (size < 0)
                return;
            connection.sent += static_cast<size_t>(size);
        }
    };
    const auto begin = [&](Connection &connection) {
        connection.request = begun < total ? &requests[static_cast<size_t>(begun++ % distinct_bodies)] : nullptr;
        connection.sent = 0;
        connection.start = Clock::now();
        send_more(connection);
    };
    const auto read_answer = [&](Connection &connection) {
        if (!receive(connection))
            gone();
        if (take_answer(connection))
            begin(connection);
    };
    const auto start = Clock::now();
    for (Connection &connection : connections)
        begin(connection);
    while (done < total) {
        epoll_event events[256];
        const int ready = epoll_wait(poll, events, 256, 30'000);
        if (ready == 0) {
            std::fprintf(stderr, "no answer within 30 s\n");
            return 1;
        }
        for (int i = 0; i < ready; i++) {
            Connection &connection = *static_cast<Connection *>(events[i].data.ptr);
            if (events[i].events & EPOLLOUT)
                send_more(connection);
            if (events[i].events & EPOLLIN)
                read_answer(connection);
        }
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::sort(milliseconds.begin(), milliseconds.end());
    const auto percentile = [&](double share) {
        return milliseconds[static_cast<size_t>(share * static_cast<double>(milliseconds.size() - 1))];
    };
    std::printf("%.0f %.3f %.3f %d\n", static_cast<double>(total) * spans / seconds, percentile(0.5), percentile(0.99),
                refused);
}
