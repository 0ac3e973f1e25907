// What faults make of the lines of one watch, one event each.
#include "event_faults.hpp"

#include <charconv>

namespace kubesim {

namespace {

// The order of members is the server's.
using OrderedJson = nlohmann::ordered_json;

bool shift(OrderedJson &object, uint64_t by) {
    if (!object.is_object() || !object.contains("metadata") || !object["metadata"].is_object())
        return false;
    auto revision = object["metadata"].find("resourceVersion");
    if (revision == object["metadata"].end() || !revision->is_string())
        return false;
    const std::string text = revision->get<std::string>();
    uint64_t number = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ptr != text.data() + text.size())
        return false;
    *revision = std::to_string(number + by);
    return true;
}

std::string written(const OrderedJson &document) {
    return document.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string uid_of(std::string_view line) {
    const json event = json::parse(line, nullptr, false);
    const json *object = find(event, "object");
    const json *metadata = object ? find(*object, "metadata") : nullptr;
    return metadata ? text_of(*metadata, "uid") : "";
}

Ending ending_of(Fault::How how) {
    return how == Fault::How::close ? Ending::close : how == Fault::How::reset ? Ending::reset : Ending::hang;
}

} // namespace

std::string shifted_revision(std::string_view document, uint64_t by) {
    OrderedJson parsed = OrderedJson::parse(document, nullptr, false);
    return !parsed.is_discarded() && shift(parsed, by) ? written(parsed) : std::string(document);
}

std::optional<EventFaults::Result> EventFaults::pass(std::string_view line) {
    std::string older;
    if (faults_.wants_older(request_)) {
        const std::string uid = uid_of(line);
        if (auto it = last_line_.find(uid); it != last_line_.end())
            older = it->second;
        if (!uid.empty() && (!older.empty() || last_line_.size() < remembered_objects))
            last_line_[uid] = line;
    } else {
        last_line_.clear();
    }
    auto fault = faults_.take_event(request_, line, !older.empty());
    if (!fault)
        return std::nullopt;
    const std::string text(line);
    switch (fault->action) {
    case Fault::Action::drop_event:
        return Result{{}, std::nullopt};
    case Fault::Action::duplicate_event:
        return Result{{text, text}, std::nullopt};
    case Fault::Action::stale_event:
        return Result{{text, older}, std::nullopt};
    case Fault::Action::cut_event:
        return Result{{text.substr(0, fault->bytes < 0 ? text.size() / 2 : fault->bytes)}, ending_of(fault->how)};
    case Fault::Action::error_event:
        return Result{{R"({"type":"ERROR","object":)" + fault->response.body + "}\n"}, Ending::clean};
    case Fault::Action::end_event:
        return Result{{}, Ending::clean};
    default: { // future_revision
        OrderedJson event = OrderedJson::parse(text, nullptr, false);
        if (event.is_discarded() || !event.contains("object") || !shift(event["object"], fault->by))
            return std::nullopt;
        return Result{{written(event) + "\n"}, std::nullopt};
    }
    }
}

} // namespace kubesim
