// The calls under /_sim/ by which tests steer the simulator.
#include "control.hpp"

#include <functional>
#include <map>
#include <stdexcept>

namespace kubesim {

json Control::state() {
    json methods = json::object(), statuses = json::object();
    for (const auto &[name, count] : server_.log.by_method)
        methods[name] = count;
    for (const auto &[status, count] : server_.log.by_status)
        statuses[std::to_string(status)] = count;
    return {{"revision", store_.revision()}, {"compacted", store_.compacted()},
            {"watches", watches_.count()},   {"connections", server_.connections()},
            {"requests", server_.log.total}, {"by_method", methods},
            {"by_status", statuses},         {"service_time_ms", server_.service_time()}};
}

Response Control::answer(const Request &request) {
    std::string call = request.path.substr(sizeof "/_sim/" - 1);
    bool on = request.parameter("on") != "false";
    bool reset = request.flag("reset");
    std::map<std::string, std::function<void()>> calls = {
        {"state", [] {}},
        {"reset_counters", [&] { server_.log.reset(); }},
        {"compact", [&] { store_.compact(); }},
        {"save", [&] { store_.save(); }},
        {"restore", [&] { store_.restore(); }},
        {"drop_watches", [&] { watches_.drop_all(reset); }},
        {"end_watches", [&] { watches_.end_all(); }},
        {"expire_watches", [&] { watches_.expire_all(); }},
        {"hold_watches", [&] { watches_.hold(on); }},
        {"lose_changes", [&] { watches_.lose_next(std::stoul(request.parameter("count"))); }},
        {"drop_connections", [&] { server_.drop_connections(reset); }},
        {"refuse", [&] { server_.refuse(on); }},
        {"pause", [&] { server_.pause(on); }},
        {"ready", [&] { router_.ready = on; }},
        {"service_time", [&] { server_.set_service_time(std::stod(request.parameter("ms"))); }},
        {"faults",
         [&] {
             if (request.method == "DELETE")
                 return server_.faults.clear();
             json body = json::parse(request.body);
             for (const auto &fault : body.is_array() ? body : json::array({body}))
                 server_.faults.add(fault);
         }},
        {"tokens",
         [&] {
             // {"TOKEN": "all" | "read" | "none" | null}: null takes the token away
             json body = json::parse(request.body);
             for (const auto &[token, rights] : body.items())
                 if (rights.is_null())
                     authentication_.tokens.erase(token);
                 else
                     authentication_.tokens[token] = rights == "all"    ? Rights::all
                                                     : rights == "read" ? Rights::read
                                                                        : Rights::none;
         }},
    };
    Response response;
    auto it = calls.find(call);
    if (it == calls.end()) {
        response.status = 404;
        response.body = dump({{"error", "no such call: " + call}});
        return response;
    }
    try {
        it->second();
        response.body = dump(state());
    } catch (const std::exception &error) {
        response.status = 400;
        response.body = dump({{"error", error.what()}});
    }
    return response;
}

} // namespace kubesim
