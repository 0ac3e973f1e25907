// The bytes to answer with; see otlp.hpp. Any process that takes telemetry.
#include "telemetry/otlp/otlp.hpp"

#include <protozero/pbf_writer.hpp>

namespace dbnet::telemetry {
namespace {

constexpr size_t longest_message = 2048; // bytes; escaped and with what is around it, a few KiB
constexpr std::string_view bad_request_type = "type.googleapis.com/google.rpc.BadRequest";

std::string_view shortened(std::string_view message) {
    if (message.size() <= longest_message)
        return message;
    size_t end = longest_message;
    while (end > 0 && (message[end] & 0xC0) == 0x80) // not within a character
        --end;
    return message.substr(0, end);
}

std::string json_string(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string quoted = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\')
            (quoted += '\\') += c;
        else if (byte < 0x20)
            ((quoted += "\\u00") += digits[byte >> 4]) += digits[byte & 0xF];
        else
            quoted += c;
    }
    return quoted += '"';
}

const char *rejected_name(Signal signal) {
    return signal == Signal::traces    ? "rejectedSpans"
           : signal == Signal::metrics ? "rejectedDataPoints"
                                       : "rejectedLogRecords";
}

// A BadRequest has one violation of `field`, described by the message.
std::string json_status(int code, std::string_view message, std::string_view field, bool is_bad_request) {
    const std::string quoted = json_string(message);
    std::string body = "{\"code\":" + std::to_string(code) + ",\"message\":" + quoted;
    if (is_bad_request) {
        body += ",\"details\":[{\"@type\":" + json_string(bad_request_type) + ",\"fieldViolations\":[{";
        if (!field.empty())
            body += "\"field\":" + json_string(field) + ",";
        body += "\"description\":" + quoted + "}]}]";
    }
    return body + "}";
}

std::string protobuf_status(int code, std::string_view message, std::string_view field, bool is_bad_request) {
    using protozero::pbf_writer;
    std::string body;
    pbf_writer status(body);
    status.add_int32(1, code);
    status.add_string(2, message.data(), message.size());
    if (is_bad_request) {
        pbf_writer any(status, 3);
        any.add_string(1, bad_request_type.data(), bad_request_type.size());
        pbf_writer bad_request(any, 2);
        pbf_writer violation(bad_request, 1);
        if (!field.empty())
            violation.add_string(1, field.data(), field.size());
        violation.add_string(2, message.data(), message.size());
    }
    return body;
}

} // namespace

std::string response_body(Signal signal, Encoding encoding, const Decoded &decoded) {
    const std::string_view message = shortened(decoded.message);
    const bool is_full_success = decoded.rejected == 0 && message.empty();
    if (encoding == Encoding::json) {
        if (is_full_success)
            return "{}";
        std::string body = "{\"partialSuccess\":{";
        if (decoded.rejected != 0)
            body += "\"" + std::string(rejected_name(signal)) + "\":\"" + std::to_string(decoded.rejected) + "\"" +
                    (message.empty() ? "" : ",");
        if (!message.empty())
            body += "\"errorMessage\":" + json_string(message);
        return body + "}}";
    }
    std::string body;
    if (is_full_success)
        return body;
    std::string partial_success;
    protozero::pbf_writer fields(partial_success);
    if (decoded.rejected != 0)
        fields.add_int64(1, decoded.rejected);
    if (!message.empty())
        fields.add_string(2, message.data(), message.size());
    protozero::pbf_writer(body).add_message(1, partial_success);
    return body;
}

std::string status_body(Encoding encoding, int code, std::string_view message, std::string_view field) {
    message = shortened(message);
    const bool is_bad_request = code == invalid_argument;
    return encoding == Encoding::json ? json_status(code, message, field, is_bad_request)
                                      : protobuf_status(code, message, field, is_bad_request);
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
