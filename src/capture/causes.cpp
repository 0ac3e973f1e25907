// The list of places (see causes.hpp). Pure C++; runs in backends.
#include "capture/causes.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "pg/no_postgres.hpp"

namespace dbnet::capture {

std::size_t Causes::Hash::operator()(const Numbered *one) const {
    std::size_t hash = 0;
    for (const Frame &frame : one->cause) {
        hash = ((hash * 31 + frame.function) * 31 + frame.trigger) * 31 + static_cast<std::uint32_t>(frame.line);
        hash = hash * 31 + std::hash<std::string_view>()(frame.text);
    }
    return hash;
}

bool Causes::Same::operator()(const Numbered *left, const Numbered *right) const {
    return std::ranges::equal(left->cause, right->cause);
}

std::uint32_t Causes::number_of(Cause cause) {
    if (cause.empty())
        return 0;
    Numbered wanted{cause, 0};
    if (const auto found = index_.find(&wanted); found != index_.end())
        return (*found)->number;
    if (list_.size() >= limit)
        return 0;
    auto *frames = static_cast<Frame *>(arena_.allocate(cause.size_bytes(), alignof(Frame)));
    std::ranges::uninitialized_copy(cause, std::span(frames, cause.size()));
    for (Frame &frame : std::span(frames, cause.size())) {
        if (frame.text.empty())
            continue;
        auto *text = static_cast<char *>(arena_.allocate(frame.text.size(), 1));
        std::memcpy(text, frame.text.data(), frame.text.size());
        frame.text = {text, frame.text.size()};
    }
    wanted = {{frames, cause.size()}, static_cast<std::uint32_t>(list_.size()) + 1};
    index_.insert(&list_.emplace_back(wanted));
    return wanted.number;
}

Cause Causes::find(std::uint32_t number) const {
    return number == 0 || number > list_.size() ? Cause() : list_[number - 1].cause;
}

} // namespace dbnet::capture
