// W3C trace context in a statement's comment, as SQLcommenter writes it: /*…,traceparent='00-<trace id>-<span
// id>-01',…*/ Pure C++; backends.
#pragma once

#include <string_view>

namespace dbnet::provenance {

// Whether the text is one: version, trace id, span id and flags in lower-case hexadecimal, neither id all zeros.
bool is_traceparent(std::string_view text) noexcept;

// The first one in a comment of the statement; empty: there is none.
std::string_view find_traceparent(std::string_view statement) noexcept;

// Where the comments begin that stand right before the end of `text`, a query up to a statement's first word; its size
// when there are none.
size_t start_of_comments(std::string_view text) noexcept;

} // namespace dbnet::provenance
