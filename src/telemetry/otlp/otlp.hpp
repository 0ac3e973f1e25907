// OTLP requests: from the bytes of a body to records of a batch, and the bytes to answer with. Specification:
// opentelemetry-proto, docs/specification.md 1.11. Pure C++.
#pragma once

#include "telemetry/batch.hpp"

#include <string>
#include <string_view>

namespace dbnet::telemetry {

// What became of a request's body.
struct Decoded {
    bool is_readable = true; // false: nothing of it was taken, `message` says why: status 400, not to be sent again
    int64_t taken = 0;       // spans, data points or log records
    int64_t rejected = 0;    // items that cannot be kept; the others were taken
    std::string message;     // English; empty: nothing to say. With rejected == 0: a warning
    // Of what is not readable: where, with JSON's names (resourceSpans[0].scopeSpans[1].spans[2]); empty: anywhere.
    std::string field{};
};

// Appends what `body` says to `batch` as a request of `sender`. A body that is not readable leaves the batch as it was.
// Raises std::bad_alloc only.
Decoded decode(Signal signal, Encoding encoding, std::string_view body, const Sender &sender, Batch &batch);

// Body of an Export…ServiceResponse in the request's encoding; partial_success is set only when there is something to
// say.
std::string response_body(Signal signal, Encoding encoding, const Decoded &decoded);

// Of google.rpc.Code.
constexpr int invalid_argument = 3;

// Body of a google.rpc.Status in the request's encoding; `code` as in google.rpc.Code. An invalid argument has a
// google.rpc.BadRequest among its details, as the specification asks: `field` is what of the request is invalid, empty
// where that is not known.
std::string status_body(Encoding encoding, int code, std::string_view message, std::string_view field = {});

} // namespace dbnet::telemetry
