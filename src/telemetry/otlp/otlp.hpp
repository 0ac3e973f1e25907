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
};

// Appends what `body` says to `batch` as a request of `sender`. A body that is not readable leaves the batch as it was.
// Raises std::bad_alloc only.
Decoded decode(Signal signal, Encoding encoding, std::string_view body, const Sender &sender, Batch &batch);

// Body of an Export…ServiceResponse in the request's encoding; partial_success is set only when there is something to
// say.
std::string response_body(Signal signal, Encoding encoding, const Decoded &decoded);

// Body of a google.rpc.Status in the request's encoding; `code` as in google.rpc.Code (3 invalid argument, 14
// unavailable …).
std::string status_body(Encoding encoding, int code, std::string_view message);

} // namespace dbnet::telemetry
