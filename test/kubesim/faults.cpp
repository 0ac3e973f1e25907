// Faults a test asks for: which there are, how they are described, whom they hit.
#include "faults.hpp"

#include <map>
#include <stdexcept>

namespace kubesim {

namespace {

using Action = Fault::Action;

template<class Value>
Value named(const std::map<std::string, Value> &values, const std::string &what, const json &name) {
    auto it = values.find(name.get<std::string>());
    if (it == values.end())
        throw std::runtime_error("unknown " + what + " " + name.get<std::string>());
    return it->second;
}

Action action_of(const json &name) {
    static const std::map<std::string, Action> actions = {{"respond", Action::respond},
                                                          {"respond_after", Action::respond_after},
                                                          {"reset_before", Action::reset_before},
                                                          {"reset_after", Action::reset_after},
                                                          {"hang", Action::hang},
                                                          {"hang_after", Action::hang_after},
                                                          {"delay", Action::delay},
                                                          {"slow", Action::slow},
                                                          {"slow_head", Action::slow_head},
                                                          {"truncate", Action::truncate},
                                                          {"drop_event", Action::drop_event},
                                                          {"duplicate_event", Action::duplicate_event},
                                                          {"stale_event", Action::stale_event},
                                                          {"cut_event", Action::cut_event},
                                                          {"error_event", Action::error_event},
                                                          {"end_event", Action::end_event},
                                                          {"future_revision", Action::future_revision}};
    return named(actions, "action", name);
}

bool fits(const Fault &fault, const Request &request) {
    return (fault.method.empty() || fault.method == request.method) &&
           (!fault.watch || *fault.watch == request.is_watch()) && std::regex_search(request.target, fault.path);
}

bool fits_event(const Fault &fault, std::string_view line, bool has_older) {
    const bool is_bookmark = line.starts_with(R"({"type":"BOOKMARK")");
    if (fault.action == Action::future_revision)
        return is_bookmark;
    if (!fault.hits_events() || (fault.action == Action::stale_event && !has_older))
        return false;
    if (!fault.match)
        return !is_bookmark;
    const std::string_view searched = line.substr(0, Fault::matched_bytes);
    return std::regex_search(searched.begin(), searched.end(), *fault.match);
}

} // namespace

Fault parse_fault(const json &description) {
    static const std::map<std::string, Fault::How> hows = {
        {"close", Fault::How::close}, {"reset", Fault::How::reset}, {"hang", Fault::How::hang}};
    if (!description.is_object())
        throw std::runtime_error("a fault is a JSON object");
    Fault fault;
    fault.path = std::regex("");
    uint64_t seed = 1;
    for (const auto &[name, value] : description.items()) {
        if (name == "method")
            fault.method = value.get<std::string>();
        else if (name == "path")
            fault.path = std::regex(value.get<std::string>());
        else if (name == "watch")
            fault.watch = value.get<bool>();
        else if (name == "match")
            fault.match = std::regex(value.get<std::string>());
        else if (name == "action")
            fault.action = action_of(value);
        else if (name == "status")
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
        else if (name == "bytes_per_second")
            fault.bytes_per_second = value.get<int64_t>();
        else if (name == "bytes")
            fault.bytes = value.get<int64_t>();
        else if (name == "how")
            fault.how = named(hows, "way to end", value);
        else if (name == "by")
            fault.by = value.get<uint64_t>();
        else if (name == "skip")
            fault.skip = value.get<int64_t>();
        else if (name == "count")
            fault.count = value.get<int64_t>();
        else if (name == "probability")
            fault.probability = value.get<double>();
        else if (name == "seed")
            seed = value.get<uint64_t>();
        else
            throw std::runtime_error("unknown member " + name);
    }
    fault.random.seed(seed);
    const bool is_slow = fault.action == Action::slow || fault.action == Action::slow_head;
    if (is_slow && fault.bytes_per_second <= 0)
        throw std::runtime_error("a slow answer needs bytes_per_second");
    if (fault.action == Action::truncate && fault.bytes < 0)
        throw std::runtime_error("a truncated answer needs bytes");
    if (fault.match && !fault.hits_events())
        throw std::runtime_error("match is for events");
    return fault;
}

// What fits is let pass, by number or by chance, or hit.
std::optional<Fault> Faults::use(std::vector<Fault>::iterator fault) {
    if (fault->skip > 0) {
        fault->skip--;
        return std::nullopt;
    }
    if (fault->probability < 1 && std::uniform_real_distribution<>()(fault->random) >= fault->probability)
        return std::nullopt;
    hits++;
    Fault out = *fault;
    if (fault->count > 0 && --fault->count == 0)
        faults_.erase(fault);
    return out;
}

std::optional<Fault> Faults::take(const Request &request) {
    for (auto it = faults_.begin(); it != faults_.end(); ++it) {
        const bool is_of_events = it->hits_events() || (it->action == Action::future_revision && request.is_watch());
        if (is_of_events || !fits(*it, request))
            continue;
        if (auto fault = use(it))
            return fault;
    }
    return std::nullopt;
}

std::optional<Fault> Faults::take_event(const Request &request, std::string_view line, bool has_older) {
    for (auto it = faults_.begin(); it != faults_.end(); ++it)
        if (fits_event(*it, line, has_older) && fits(*it, request))
            if (auto fault = use(it))
                return fault;
    return std::nullopt;
}

bool Faults::wants_older(const Request &request) const {
    for (const Fault &fault : faults_)
        if (fault.action == Action::stale_event && fits(fault, request))
            return true;
    return false;
}

} // namespace kubesim
