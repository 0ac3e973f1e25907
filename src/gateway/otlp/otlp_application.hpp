// The gateway's side of HTTP: refuses what its headers tell to be wrong, keeps the others until the worker has served
// them, and answers in the form that the sender reads. Pure C++; gateway worker.
#pragma once

#include "gateway/http/http_server.hpp"
#include "gateway/otlp/allowed_origins.hpp"
#include "gateway/otlp/gateway_counters.hpp"
#include "gateway/otlp/otlp_route.hpp"

#include <functional>
#include <utility>
#include <vector>

namespace dbnet::gateway {

// A request whose body is complete. Lives until it is answered.
struct OtlpCall {
    Exchange *exchange;
    telemetry::Signal signal;
    telemetry::Encoding encoding;
    Compression compression;
};

// Whether a token lets in.
struct Admission {
    int status = 200;
    std::string message; // of another status: why it does not
};

class OtlpApplication : public HttpApplication {
public:
    // Asked when headers show a token, before the body: the header's value; whether it is for telemetry, or to read.
    using AdmissionCheck = std::function<Admission(std::string_view authorization, bool is_telemetry)>;

    explicit OtlpApplication(AdmissionCheck check) : check_(std::move(check)) {}

    // What has come since the last time, in order; for the caller to answer.
    std::vector<OtlpCall> take_calls() noexcept;
    std::vector<Exchange *> take_readiness() noexcept { return std::exchange(readiness_, {}); }
    std::vector<Exchange *> take_metrics() noexcept { return std::exchange(metrics_, {}); }
    bool has_work() const noexcept { return !calls_.empty() || !readiness_.empty() || !metrics_.empty(); }
    size_t waiting_calls() const noexcept { return calls_.size(); }
    size_t waiting_bytes() const noexcept { return waiting_bytes_; } // of take_calls()

    // 200: what was taken is committed.
    void accept(const OtlpCall &call, const telemetry::Decoded &decoded) noexcept;
    // `field`: what of the request is wrong, where that is known.
    void refuse(const OtlpCall &call, int status, std::string_view message, std::string_view field = {}) noexcept;

    // Of what is no telemetry.
    void answer(Exchange &exchange, int status, const char *type, std::string_view body) noexcept;

    // Without a token nothing is taken, and nothing told but whether the gateway is there and ready.
    void require_token(bool is_required) noexcept { is_token_required_ = is_required; }

    // Whose pages' browsers may send, and read the answers.
    void allow_origins(AllowedOrigins origins) noexcept { origins_ = std::move(origins); }

    GatewayCounters counters;

private:
    void on_headers(Exchange &exchange) override;
    void on_request(Exchange &exchange) override;
    void on_refused(Exchange &exchange, int status, std::string_view reason) override;
    void on_stop() noexcept override;

    void respond(Exchange &exchange, const OtlpRoute &route, int status, std::string_view message,
                 std::string_view field = {}) noexcept;
    void count(const OtlpRoute &route, int status) noexcept;

    bool greet_browser(Exchange &exchange, const OtlpRoute &route) const;
    Admission admission_of(const Exchange &exchange, const OtlpRoute &route) const;

    AdmissionCheck check_;
    std::vector<OtlpCall> calls_;
    std::vector<Exchange *> readiness_, metrics_;
    size_t waiting_bytes_ = 0;
    bool is_token_required_ = false;
    AllowedOrigins origins_;
};

} // namespace dbnet::gateway
