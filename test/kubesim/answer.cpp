// One answer on its way from what serves it to its client, and the faults that it meets there.
#include "answer.hpp"

#include "errors.hpp"

namespace kubesim {

using Action = Fault::Action;

Answer::Answer(std::shared_ptr<Connection> connection, std::shared_ptr<const Request> request, Faults *faults,
               OnStatus on_status)
    : connection_(std::move(connection)), request_(std::move(request)), faults_(faults),
      on_status_(std::move(on_status)) {}

Answer::~Answer() {
    if (on_over_)
        on_over_();
}

void Answer::told(int status) {
    if (auto call = std::exchange(on_status_, nullptr))
        call(status);
}

void Answer::over() {
    over_ = true;
    if (auto call = std::exchange(on_over_, nullptr))
        call();
}

bool Answer::is_collected() const {
    return fault_ && fault_->action == Action::future_revision;
}

void Answer::respond(const Response &response) {
    if (is_over())
        return;
    // A watch that is refused has no end.
    begin(response, response.body.size());
    write(response.body);
    end();
}

void Answer::begin(const Response &head, std::optional<size_t> length) {
    if (is_over())
        return;
    const bool is_watch = request_->is_watch() && head.status == 200 && !length;
    if (fault_ && fault_->is_after())
        return is_watch ? finish_after() : void();
    head_ = head;
    if (is_collected())
        return;
    if (fault_ && (fault_->action == Action::slow || fault_->action == Action::slow_head))
        connection_->limit(fault_->bytes_per_second, fault_->action == Action::slow_head);
    connection_->begin(head, length);
    if (!is_watch)
        return;
    told(head.status);
    is_stream_ = true;
    connection_->flush();
    if (faults_)
        event_faults_.emplace(*faults_, *request_);
}

// The request was carried out: what its client is told instead of that.
void Answer::finish_after() {
    const Fault fault = *std::exchange(fault_, std::nullopt);
    if (fault.action == Action::respond_after)
        return respond(fault.response);
    told(0);
    if (fault.action == Action::reset_after)
        return abort(true);
    over();
    connection_->silence();
}

void Answer::write(std::string_view data) {
    if (is_over() || (fault_ && fault_->is_after()))
        return;
    if (is_collected()) {
        collected_ += data;
        return;
    }
    if (!event_faults_)
        return send(data);
    while (!data.empty() && !is_over()) {
        const size_t newline = data.find('\n');
        if (newline == std::string_view::npos) {
            collected_ += data;
            return;
        }
        const std::string_view rest = data.substr(0, newline + 1);
        data.remove_prefix(newline + 1);
        if (collected_.empty()) {
            line(rest);
        } else {
            const std::string whole = std::exchange(collected_, "") += rest;
            line(whole);
        }
    }
}

// One event of a watch.
void Answer::line(std::string_view line) {
    if (held_) {
        kept_.emplace_back(line);
        return;
    }
    auto changed = event_faults_->pass(line);
    if (!changed)
        return send(line);
    for (const auto &sent : changed->sent)
        send(sent);
    if (changed->ending)
        end_as(*changed->ending);
}

void Answer::send(std::string_view data) {
    if (is_over())
        return;
    const bool is_last =
        fault_ && fault_->action == Action::truncate && sent_ + data.size() >= static_cast<size_t>(fault_->bytes);
    if (is_last)
        data = data.substr(0, fault_->bytes - sent_);
    sent_ += data.size();
    connection_->write(data);
    if (!is_last)
        return;
    told(head_.status);
    end_as(fault_->how == Fault::How::close   ? Ending::close
           : fault_->how == Fault::How::reset ? Ending::reset
                                              : Ending::hang);
}

void Answer::end_as(Ending ending) {
    held_ = false;
    collected_.clear();
    if (ending == Ending::clean)
        return end();
    over();
    connection_->flush();
    if (ending == Ending::hang)
        connection_->silence();
    else
        connection_->abort(ending == Ending::reset);
}

void Answer::end() {
    if (is_over())
        return;
    if (fault_ && fault_->is_after())
        return finish_after();
    if (is_collected()) {
        head_.body = shifted_revision(collected_, fault_->by);
        fault_.reset();
        return respond(head_);
    }
    if (held_ && is_stream_) {
        ends_when_released_ = true;
        return;
    }
    if (event_faults_ && !collected_.empty())
        send(std::exchange(collected_, "")); // the server has cut it: so do we
    told(head_.status);
    over();
    connection_->end(); // the next request may come before it returns
}

void Answer::abort(bool reset) {
    if (is_over())
        return;
    over();
    connection_->abort(reset);
}

void Answer::flush() {
    if (!is_over())
        connection_->flush();
}

void Answer::when_drained(std::function<void()> call) {
    connection_->when_drained(std::move(call));
}

void Answer::hold(bool on) {
    if (held_ == on)
        return;
    held_ = on;
    if (on)
        return;
    for (const auto &kept : std::exchange(kept_, {}))
        line(kept);
    if (ends_when_released_)
        return end();
    flush();
}

void Answer::expire() {
    const std::string from = request_->parameter("resourceVersion");
    const json event = {{"type", "ERROR"},
                        {"object", ApiError::expired("too old resource version: " + from + " (" + from + "0)").body()}};
    kept_.clear();
    send(dump(event) + "\n");
    end_as(Ending::clean);
}

} // namespace kubesim
