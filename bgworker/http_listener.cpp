// Opening and reopening of a listener (see http_listener.hpp).
#include "bgworker/http_listener.hpp"

#include "gateway/http/http_error.hpp"
#include "gateway/http/listen_address.hpp"
#include "settings.hpp"

#include <algorithm>

namespace dbnet::bgworker {
namespace {

using gateway::HttpError;
using gateway::HttpServer;
using gateway::ListenAddress;
using gateway::TlsCredentials;
using gateway::TlsFiles;

constexpr auto look_every = std::chrono::seconds(1); // at the files, and at an address that could not be had

bool has_tls(const TlsFiles &files) {
    return !files.certificate.empty() || !files.key.empty();
}

kubernetes::FileStamps stamps_of(const TlsFiles &files) {
    return kubernetes::look_again({{files.certificate, {}}, {files.key, {}}, {files.client_ca, {}}});
}

} // namespace

bool HttpListener::turn() {
    const Clock::time_point now = Clock::now();
    const Configuration wanted = this->wanted();
    if (wanted == configuration_ && now < next_look_)
        return false;
    next_look_ = now + look_every;
    if (!server_ || wanted != configuration_) {
        open(wanted);
        return server_ != nullptr;
    }
    if (has_tls(wanted.files) && stamps_of(wanted.files) != stamps_)
        reload_files();
    return false;
}

long HttpListener::timeout_ms() const noexcept {
    if (*address_ == '\0' && !server_)
        return -1;
    const bool looks = !server_ || has_tls(configuration_.files);
    const long server = server_ ? server_->timeout_ms() : -1;
    if (!looks)
        return server;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_look_ - Clock::now()).count();
    const long look = static_cast<long>(std::max<int64_t>(left, 0));
    return server < 0 ? look : std::min(server, look);
}

HttpListener::Configuration HttpListener::wanted() const {
    return {address_,
            {settings::gateway_certificate_file, settings::gateway_key_file, settings::gateway_client_ca_file},
            settings::gateway_body_limit};
}

void HttpListener::open(const Configuration &wanted) {
    server_.reset(); // the address may be the same
    configuration_ = wanted;
    const std::optional<ListenAddress> address = gateway::parse_listen_address(wanted.address);
    if (!address)
        return report_success(); // empty: nothing to listen on
    try {
        is_public_ = !address->is_loopback();
        std::shared_ptr<const TlsCredentials> tls;
        if (has_tls(wanted.files)) {
            stamps_ = stamps_of(wanted.files); // before they are read
            tls = std::make_shared<const TlsCredentials>(wanted.files);
        } else if (is_public_) {
            throw HttpError(std::string(setting_) + " is \"" + wanted.address +
                                "\", which other machines reach: DBNet does not listen there without TLS",
                            "Set dbnet.gateway_certificate_file and dbnet.gateway_key_file, or listen on 127.0.0.1. "
                            "Who sends needs a token as well: see dbnet.create_token.");
        }
        gateway::HttpLimits limits;
        limits.body_bytes = static_cast<size_t>(wanted.body_limit) * 1024;
        limits.in_flight_bytes = std::max(limits.in_flight_bytes, 2 * limits.body_bytes);
        server_ = std::make_unique<HttpServer>(*address, application_, limits, std::move(tls));
        report_success();
        pg::log(std::string("DBNet listens on ") + setting_ + " = " + wanted.address +
                (has_tls(wanted.files) ? " (TLS)" : ""));
    } catch (const HttpError &error) {
        report(error.what(), error.hint());
    }
}

// Who is connected stays; new connections see the new files. Files that cannot be used change nothing.
void HttpListener::reload_files() {
    stamps_ = stamps_of(configuration_.files);
    try {
        server_->set_tls(std::make_shared<const TlsCredentials>(configuration_.files));
        report_success();
        pg::log("DBNet has read the certificate of " + configuration_.address + " again");
    } catch (const HttpError &error) {
        report(std::string("the former certificate stays in use: ") + error.what(), error.hint());
    }
}

// Once for as long as it stays the same.
void HttpListener::report(const std::string &message, const std::string &hint) {
    if (message == reported_)
        return;
    reported_ = message;
    process_.note_error(hint.empty() ? message : message + ". " + hint);
    pg::log("DBNet: " + message, hint);
}

void HttpListener::report_success() {
    if (!reported_.empty())
        process_.note_error({});
    reported_.clear();
}

} // namespace dbnet::bgworker
