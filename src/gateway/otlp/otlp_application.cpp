// OTLP requests on their way between the HTTP server and the worker; see the header.
#include "gateway/otlp/otlp_application.hpp"

#include <utility>

namespace dbnet::gateway {
namespace {

using telemetry::Decoded;
using Kind = OtlpRoute::Kind;

constexpr size_t longest_message = 4000; // of an answer, bytes
constexpr const char *retry_after = "1"; // seconds

// What a page's script may set. Nothing depends on the others, which agents in pages add to requests.
constexpr const char *headers_of_pages =
    "Content-Type, Content-Encoding, Authorization, X-Requested-With, traceparent, tracestate, baggage";
constexpr const char *preflight_age = "7200"; // seconds for which a browser need not ask again; the most that some keep

OtlpRoute route_of(const Exchange &exchange) {
    return gateway::route_of(exchange.method(), exchange.path(), exchange.header("Content-Type"),
                             exchange.header("Content-Encoding"));
}

OtlpRoute route_of(const OtlpCall &call) {
    OtlpRoute route;
    route.signal = call.signal;
    route.encoding = call.encoding;
    route.is_otlp_path = route.has_encoding = true;
    return route;
}

// Cut at the start of a character.
std::string_view shortened(std::string_view message) {
    if (message.size() <= longest_message)
        return message;
    size_t size = longest_message;
    while (size > 0 && (static_cast<unsigned char>(message[size]) & 0xC0) == 0x80)
        size--;
    return message.substr(0, size);
}

// What runs out of memory answers nothing but 503, without a body.
template<class F> void or_unavailable(Exchange &exchange, F &&f) noexcept {
    try {
        f();
    } catch (const std::exception &) {
        exchange.respond(503, {}, {});
    }
}

} // namespace

void OtlpApplication::on_headers(Exchange &exchange) {
    const OtlpRoute route = route_of(exchange);
    if (greet_browser(exchange, route) && exchange.method() == "OPTIONS" &&
        exchange.header("Access-Control-Request-Method")) {
        count(route, 204);
        return exchange.respond(204,
                                {{"Access-Control-Allow-Methods", "POST"},
                                 {"Access-Control-Allow-Headers", headers_of_pages},
                                 {"Access-Control-Max-Age", preflight_age}},
                                {});
    }
    if (route.kind == Kind::refused)
        return respond(exchange, route, route.status, route.message, route.field);
    const Admission admission = admission_of(exchange, route);
    if (admission.status != 200)
        respond(exchange, route, admission.status, admission.message);
}

// True: the request comes from a page of an allowed origin, which may read the answer, whatever it will be.
bool OtlpApplication::greet_browser(Exchange &exchange, const OtlpRoute &route) const {
    if (!route.is_otlp_path || origins_.is_empty())
        return false;
    const auto origin = exchange.header("Origin");
    if (!origin || !origins_.allow(*origin))
        return false;
    // The exporters' sendBeacon() is always "with credentials", which a browser then wants to be allowed.
    exchange.set_common_headers({{"Access-Control-Allow-Origin", std::string(*origin)},
                                 {"Access-Control-Allow-Credentials", "true"},
                                 {"Access-Control-Expose-Headers", "Retry-After"},
                                 {"Vary", "Origin"}});
    return true;
}

Admission OtlpApplication::admission_of(const Exchange &exchange, const OtlpRoute &route) const {
    const bool is_telemetry = route.kind == Kind::otlp;
    if (!is_telemetry && !(route.kind == Kind::metrics && is_token_required_))
        return {};
    if (const auto authorization = exchange.header("Authorization"))
        return check_(*authorization, is_telemetry);
    if (is_token_required_)
        return {401, "a bearer token is required: Authorization: Bearer ..."};
    return {};
}

void OtlpApplication::on_request(Exchange &exchange) {
    const OtlpRoute route = route_of(exchange);
    switch (route.kind) {
    case Kind::otlp:
        calls_.push_back({&exchange, route.signal, route.encoding, route.compression});
        waiting_bytes_ += exchange.body().size();
        counters.signals[static_cast<size_t>(route.signal)].received_bytes += exchange.body().size();
        break;
    case Kind::health:
        respond(exchange, route, 200, "ok\n");
        break;
    case Kind::readiness:
        readiness_.push_back(&exchange);
        break;
    case Kind::metrics:
        metrics_.push_back(&exchange);
        break;
    case Kind::refused:
        respond(exchange, route, route.status, route.message, route.field);
    }
}

void OtlpApplication::on_refused(Exchange &exchange, int status, std::string_view reason) {
    const OtlpRoute route = route_of(exchange);
    greet_browser(exchange, route); // also when it did not come to on_headers()
    respond(exchange, route, status, reason);
}

void OtlpApplication::on_stop() noexcept {
    take_calls();
    take_readiness();
    take_metrics();
}

std::vector<OtlpCall> OtlpApplication::take_calls() noexcept {
    waiting_bytes_ = 0;
    return std::exchange(calls_, {});
}

void OtlpApplication::accept(const OtlpCall &call, const Decoded &decoded) noexcept {
    or_unavailable(*call.exchange, [&] {
        SignalCounters &counter = counters.signals[static_cast<size_t>(call.signal)];
        counter.accepted += static_cast<uint64_t>(decoded.taken);
        counter.rejected += static_cast<uint64_t>(decoded.rejected);
        count(route_of(call), 200);
        call.exchange->respond(200, {{"Content-Type", media_type(call.encoding)}},
                               telemetry::response_body(call.signal, call.encoding, decoded));
    });
}

void OtlpApplication::refuse(const OtlpCall &call, int status, std::string_view message,
                             std::string_view field) noexcept {
    or_unavailable(*call.exchange, [&] { respond(*call.exchange, route_of(call), status, message, field); });
}

void OtlpApplication::answer(Exchange &exchange, int status, const char *type, std::string_view body) noexcept {
    count({}, status);
    exchange.respond(status, {{"Content-Type", type}}, body);
}

void OtlpApplication::respond(Exchange &exchange, const OtlpRoute &route, int status, std::string_view message,
                              std::string_view field) noexcept {
    or_unavailable(exchange, [&] {
        count(route, status);
        const bool is_status = route.has_encoding && status != 200;
        if (is_status && message.ends_with('\n'))
            message.remove_suffix(1); // the end of a line of text
        const std::string body =
            is_status ? telemetry::status_body(route.encoding, rpc_code(status), shortened(message), field)
                      : std::string(shortened(message));
        const char *type = is_status ? media_type(route.encoding) : "text/plain";
        if (status == 429 || status == 503)
            exchange.respond(status, {{"Content-Type", type}, {"Retry-After", retry_after}}, body);
        else if (status == 401)
            exchange.respond(status, {{"Content-Type", type}, {"WWW-Authenticate", "Bearer"}}, body);
        else if (status == 405)
            exchange.respond(status, {{"Content-Type", type}, {"Allow", route.allow}}, body);
        else
            exchange.respond(status, {{"Content-Type", type}}, body);
    });
}

void OtlpApplication::count(const OtlpRoute &route, int status) noexcept {
    try {
        (route.is_otlp_path ? counters.signals[static_cast<size_t>(route.signal)].requests
                            : counters.other_requests)[status]++;
    } catch (const std::bad_alloc &) {
        // Not counted.
    }
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
