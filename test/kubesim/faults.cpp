// Faults a test asks for: chosen requests answered wrongly, late or not at all.
#include "faults.hpp"

#include <map>
#include <stdexcept>

namespace kubesim {

void Faults::add(const json &description) {
    static const std::map<std::string, Fault::Action> actions = {{"respond", Fault::Action::respond},
                                                                 {"respond_after", Fault::Action::respond_after},
                                                                 {"reset_before", Fault::Action::reset_before},
                                                                 {"reset_after", Fault::Action::reset_after},
                                                                 {"hang", Fault::Action::hang},
                                                                 {"delay", Fault::Action::delay}};
    if (!description.is_object())
        throw std::runtime_error("a fault is a JSON object");
    Fault fault;
    fault.path = std::regex("");
    for (const auto &[name, value] : description.items()) {
        if (name == "method")
            fault.method = value.get<std::string>();
        else if (name == "path")
            fault.path = std::regex(value.get<std::string>());
        else if (name == "action") {
            auto it = actions.find(value.get<std::string>());
            if (it == actions.end())
                throw std::runtime_error("unknown action " + value.get<std::string>());
            fault.action = it->second;
        } else if (name == "status")
            fault.response.status = value.get<int>();
        else if (name == "body")
            fault.response.body = value.is_string() ? value.get<std::string>() : dump(value);
        else if (name == "content_type")
            fault.response.content_type = value.get<std::string>();
        else if (name == "headers")
            for (const auto &[header, text] : value.items())
                fault.response.headers.emplace_back(header, text.get<std::string>());
        else if (name == "delay_ms")
            fault.delay_ms = value.get<int>();
        else if (name == "count")
            fault.count = value.get<int64_t>();
        else
            throw std::runtime_error("unknown member " + name);
    }
    faults_.push_back(std::move(fault));
}

std::optional<Fault> Faults::take(const Request &request) {
    for (auto it = faults_.begin(); it != faults_.end(); ++it) {
        if (!it->method.empty() && it->method != request.method)
            continue;
        if (!std::regex_search(request.target, it->path))
            continue;
        Fault fault = *it;
        if (it->count > 0 && --it->count == 0)
            faults_.erase(it);
        return fault;
    }
    return std::nullopt;
}

} // namespace kubesim
