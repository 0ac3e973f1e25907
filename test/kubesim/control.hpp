// The calls under /_sim/ by which tests steer what is in front of every backend: faults, watches, connections. The
// simulator adds calls of its own.
#pragma once

#include "json.hpp"
#include "server.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace kubesim {

class Control {
public:
    using Call = std::function<void(const Request &)>;

    explicit Control(Server &server);

    void add(const std::string &name, Call call) { calls_[name] = std::move(call); }
    // What every call answers, `more` put into it at each.
    void add_state(std::function<void(json &)> more) { more_state_ = std::move(more); }
    // nullopt: there is no such call.
    std::optional<Response> answer(const Request &request);

private:
    json state() const;

    Server &server_;
    std::map<std::string, Call> calls_;
    std::function<void(json &)> more_state_;
};

// Whether a call switches on: all do that do not say on=false.
inline bool is_on(const Request &request) {
    return request.parameter("on") != "false";
}

} // namespace kubesim
