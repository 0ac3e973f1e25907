// The transport's outside: everything is done by the engine; see transport_engine.hpp. Runs in the mirror worker and in
// backends.
#include "kubernetes/transport/transport.hpp"

#include "kubernetes/failure.hpp"
#include "kubernetes/transport/transport_engine.hpp"

#include <algorithm>

namespace dbnet::kubernetes {

void initialize_transport() {
    static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK)
        throw Failure(std::string("libcurl cannot be initialized: ") + curl_easy_strerror(code));
}

Transport::Transport(TransportLimits limits) : engine_(std::make_unique<Engine>(limits)) {}

Transport::~Transport() = default;

int Transport::descriptor() const noexcept {
    return engine_->descriptor();
}

int Transport::timeout_ms() const noexcept {
    const Clock::time_point next = engine_->next_wake();
    if (next == Clock::time_point::max())
        return -1;
    if (next <= Clock::now())
        return 0;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

void Transport::run() {
    engine_->run();
}

Transport::Id Transport::send(const Connection &connection, Request request, ResponseHandler on_response) {
    return engine_->add(connection, std::move(request), {nullptr, nullptr, std::move(on_response)});
}

Transport::Id Transport::stream(const Connection &connection, Request request, LineHandler on_line, EndHandler on_end) {
    return engine_->add(connection, std::move(request), {std::move(on_line), nullptr, std::move(on_end)});
}

Transport::Id Transport::fetch(const Connection &connection, Request request, PartHandler on_part,
                               ResponseHandler on_response) {
    return engine_->add(connection, std::move(request), {nullptr, std::move(on_part), std::move(on_response)});
}

void Transport::cancel(Id id) noexcept {
    engine_->cancel(id);
}

void Transport::pause(Id id) noexcept {
    engine_->pause(id);
}

void Transport::resume(Id id) noexcept {
    engine_->resume(id);
}

void Transport::look_at_files() {
    engine_->look_at_files();
}

size_t Transport::in_flight() const noexcept {
    return engine_->in_flight();
}

size_t Transport::queued() const noexcept {
    return engine_->queued();
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
