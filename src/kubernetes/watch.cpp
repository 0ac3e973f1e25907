// Lines and events of a watch; see the header. Runs in the mirror worker.
#include "kubernetes/watch.hpp"

#include "kubernetes/failure.hpp"
#include "kubernetes/json_access.hpp"
#include "kubernetes/json_text.hpp"

namespace dbnet::kubernetes {

bool LineSplitter::push(std::string_view bytes) {
    if (overflowed_)
        return false;
    if (read_ == buffer_.size()) {
        buffer_.clear();
        line_start_ = read_ = 0;
        // A big line must not keep its memory for the rest of a quiet watch.
        if (buffer_.capacity() > keep_capacity && bytes.size() <= keep_capacity)
            buffer_ = std::string();
    } else if (read_ > buffer_.size() / 2) {
        buffer_.erase(0, read_);
        line_start_ -= read_;
        read_ = 0;
    }
    buffer_.append(bytes);
    if (const size_t newline = bytes.rfind('\n'); newline != std::string_view::npos)
        line_start_ = buffer_.size() - bytes.size() + newline + 1;
    overflowed_ = buffer_.size() - line_start_ > line_limit_;
    return !overflowed_;
}

bool LineSplitter::next(std::string_view &line) {
    while (read_ < line_start_) {
        const size_t newline = buffer_.find('\n', read_);
        line = std::string_view(buffer_).substr(read_, newline - read_);
        read_ = newline + 1;
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (!line.empty())
            return true;
    }
    return false;
}

namespace {

// For messages, which people and logs keep: what may be an object may be a Secret.
std::string shown(std::string_view line) {
    return line.starts_with('{') ? std::to_string(line.size()) + " bytes of JSON" : std::string(line.substr(0, 200));
}

Event::Type type_of(std::string_view text, std::string_view line) {
    if (text == "ADDED")
        return Event::Type::added;
    if (text == "MODIFIED")
        return Event::Type::modified;
    if (text == "DELETED")
        return Event::Type::removed;
    if (text == "BOOKMARK")
        return Event::Type::bookmark;
    if (text == "ERROR")
        return Event::Type::error;
    throw Failure("a watch sent a line that is no event: " + shown(line));
}

} // namespace

Event parse_event(std::string_view line) {
    nlohmann::json document = parse_json(line);
    Event event;
    event.type = type_of(text_member(&document, "type"), line);
    const auto object = document.find("object");
    if (object == document.end() || !object->is_object())
        throw Failure("a watch sent an event without an object: " + shown(line));
    event.object = std::move(*object);
    if (const auto member = find_member(line, "object"))
        event.text = member->value_in(line);
    if (event.type == Event::Type::error) {
        event.outcome = classify_status(event.object);
        if (event.outcome)
            throw Failure("a watch sent an error that says nothing: " + shown(line));
        return event;
    }
    const nlohmann::json *metadata = member(&event.object, "metadata");
    event.resource_version = text_member(metadata, "resourceVersion");
    if (event.resource_version.empty())
        throw Failure("a watch sent an object without a resource version: " + shown(line));
    if (event.type == Event::Type::bookmark)
        event.initial_events_end = text_member(member(metadata, "annotations"), "k8s.io/initial-events-end") == "true";
    return event;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
