// The calls under /_sim/ by which tests steer what is in front of every backend.
#include "control.hpp"

#include <stdexcept>

namespace kubesim {

Control::Control(Server &server) : server_(server) {
    add("state", [](const Request &) {});
    add("reset_counters", [this](const Request &) {
        server_.log.reset();
        server_.faults.hits = 0;
    });
    add("faults", [this](const Request &request) {
        if (request.method == "DELETE")
            return server_.faults.clear();
        if (request.method == "GET")
            return;
        const json body = json::parse(request.body);
        for (const auto &fault : body.is_array() ? body : json::array({body}))
            server_.faults.add(fault);
    });
    const auto path = [](const Request &request) { return std::regex(request.parameter("path")); };
    add("end_watches", [this, path](const Request &request) {
        for (const auto &watch : server_.watches(path(request)))
            watch->end();
    });
    add("drop_watches", [this, path](const Request &request) {
        for (const auto &watch : server_.watches(path(request)))
            watch->abort(request.flag("reset"));
    });
    add("expire_watches", [this, path](const Request &request) {
        for (const auto &watch : server_.watches(path(request)))
            watch->expire();
    });
    add("hold_watches", [this](const Request &request) { server_.hold_watches(is_on(request)); });
    add("drop_connections", [this](const Request &request) { server_.drop_connections(request.flag("reset")); });
    add("refuse", [this](const Request &request) { server_.refuse(is_on(request)); });
    add("pause", [this](const Request &request) { server_.pause(is_on(request)); });
    add("service_time",
        [this](const Request &request) { server_.set_service_time(std::stod(request.parameter("ms"))); });
}

json Control::state() const {
    json methods = json::object(), statuses = json::object();
    for (const auto &[name, count] : server_.log.by_method)
        methods[name] = count;
    for (const auto &[status, count] : server_.log.by_status)
        statuses[std::to_string(status)] = count;
    json out = {{"watches", server_.watches(std::regex("")).size()},
                {"connections", server_.connections()},
                {"requests", server_.log.total},
                {"by_method", methods},
                {"by_status", statuses},
                {"faults", server_.faults.count()},
                {"fault_hits", server_.faults.hits},
                {"service_time_ms", server_.service_time()}};
    if (more_state_)
        more_state_(out);
    return out;
}

std::optional<Response> Control::answer(const Request &request) {
    const auto it = calls_.find(request.path.substr(sizeof "/_sim/" - 1));
    if (it == calls_.end())
        return std::nullopt;
    Response response;
    try {
        it->second(request);
        response.body = dump(state());
    } catch (const std::exception &error) {
        response.status = 400;
        response.body = dump({{"error", error.what()}});
    }
    return response;
}

} // namespace kubesim
