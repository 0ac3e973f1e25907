// Prepares curl handles for one API server: TLS, credentials, headers, time limits; see transport_handle.hpp. Runs in
// the mirror worker and in backends.
#include "kubernetes/credentials/certificate_pair.hpp"
#include "kubernetes/failure.hpp"
#include "kubernetes/transport/transport_callbacks.hpp"
#include "kubernetes/transport/transport_handle.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace dbnet::kubernetes {
namespace {

constexpr std::chrono::seconds token_age{60};
constexpr size_t largest_token = 64 * 1024;         // bytes
constexpr size_t largest_certificate = 1024 * 1024; // bytes; with its chain, or its key
constexpr size_t most_idle_handles = 256;
constexpr size_t most_header_lists = 1024; // one for each user that requests are made as
constexpr long connect_timeout_ms = 10'000;
constexpr long idle_connection_age = 60; // s; servers close idle connections after 90
constexpr long authorities_age = 300;    // s: how long those that are no file of ours need not be read again

template<class Value> void option(CURL *handle, CURLoption which, Value value) {
    if (const CURLcode code = curl_easy_setopt(handle, which, value); code == CURLE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    else if (code != CURLE_OK)
        throw Failure(std::string("libcurl refuses a setting of the connection: ") + curl_easy_strerror(code));
}

void blob_option(CURL *handle, CURLoption which, const std::string &text) {
    curl_blob blob{const_cast<char *>(text.data()), text.size(), CURL_BLOB_COPY}; // a program may give other ones
    option(handle, which, &blob);
}

// PEM text where given, else a file, else nothing.
void pem_option(CURL *handle, CURLoption blob, CURLoption file, const std::string &pem, const std::string &path) {
    if (!pem.empty())
        blob_option(handle, blob, pem);
    else if (!path.empty())
        option(handle, file, path.c_str());
}

void check_readable(const std::string &path, const char *what) {
    if (!path.empty() && !std::ifstream(path))
        throw Failure(std::string("cannot read ") + what + " file \"" + path + "\": " + std::strerror(errno),
                      "The server process must be able to read it.");
}

// Nothing when it cannot be read.
std::string content(const std::string &path, size_t most) {
    std::ifstream file(path, std::ios::binary);
    std::string text(most, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(file.gcount()));
    text.shrink_to_fit();
    return text;
}

struct UrlParts {
    std::string scheme, host, port, path;
};

UrlParts split(const std::string &url) {
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> handle(curl_url(), curl_url_cleanup);
    if (!handle)
        throw std::bad_alloc();
    curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), 0);
    const auto part = [&](CURLUPart which, unsigned flags) {
        char *text = nullptr;
        std::string copy;
        if (curl_url_get(handle.get(), which, &text, flags) == CURLUE_OK && text != nullptr)
            copy = text;
        curl_free(text);
        return copy;
    };
    return {part(CURLUPART_SCHEME, 0), part(CURLUPART_HOST, 0), part(CURLUPART_PORT, CURLU_DEFAULT_PORT),
            part(CURLUPART_PATH, 0)};
}

bool is_address(const std::string &host) {
    in_addr address;
    return host.starts_with('[') || inet_pton(AF_INET, host.c_str(), &address) == 1;
}

HeaderList append(HeaderList list, const std::string &line) {
    curl_slist *longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr)
        throw std::bad_alloc();
    return list ? list : HeaderList(longer, HeaderListCleanup());
}

} // namespace

Endpoint::Endpoint(Connection connection) : connection_(std::move(connection)) {
    validate(connection_);
    check_readable(connection_.ca_pem.empty() ? connection_.ca_file : "", "certificate authority");
    check_readable(connection_.client_cert_pem.empty() ? connection_.client_cert_file : "", "client certificate");
    check_readable(connection_.client_key_pem.empty() ? connection_.client_key_file : "", "client key");
    const UrlParts url = split(connection_.api_url);
    std::string path = url.path;
    while (path.ends_with('/'))
        path.pop_back();
    needs_name_lookup_ = !is_address(url.host) || !connection_.proxy_url.empty();
    base_url_ = url.scheme + "://" + url.host + ':' + url.port + path;
    if (!connection_.tls_server_name.empty() && url.scheme == "https") {
        // curl takes the name to expect from the URL, so the URL gets that name and the connection the real address.
        base_url_ = "https://" + connection_.tls_server_name + ':' + url.port + path;
        host_header_ = "Host: " + url.host + ':' + url.port;
        const std::string redirect = connection_.tls_server_name + ':' + url.port + ':' + url.host + ':' + url.port;
        connect_to_.reset(curl_slist_append(nullptr, redirect.c_str()));
        if (!connect_to_)
            throw std::bad_alloc();
    }
    token_ = connection_.token;
    if (!read_certificate() && !(connection_.client_cert_pem + connection_.client_cert_file).empty())
        throw Failure("the file of the client certificate or of its key is empty");
    if (connection_.exec)
        program_ = std::make_unique<ExecCredentials>(connection_);
    if (!connection_.token_file.empty() && !read_token_file() && token_.empty())
        throw Failure("cannot read the bearer token from file \"" + connection_.token_file + "\"",
                      "The file must exist, hold a token and be readable by the server process.");
}

bool Transfer::shares_connection() const noexcept {
    return endpoint->connection().http2 && !is_in_parts() && is_repeatable();
}

bool Endpoint::read_token_file() {
    token_read_at_ = Clock::now();
    std::string text = content(connection_.token_file, largest_token);
    const size_t begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string::npos)
        return false; // keep what we have: the file may be just being replaced
    text = text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
    if (text.find_first_of("\r\n") != std::string::npos || text == token_)
        return false;
    token_ = std::move(text);
    header_lists_.clear();
    return true;
}

bool Endpoint::read_certificate() {
    read_files_ = seen_files_ = look_again({{connection_.client_cert_file, {}}, {connection_.client_key_file, {}}});
    const auto text = [](const std::string &pem, const std::string &file) {
        return pem.empty() && !file.empty() ? content(file, largest_certificate) : pem;
    };
    ClientCertificate read{text(connection_.client_cert_pem, connection_.client_cert_file),
                           text(connection_.client_key_pem, connection_.client_key_file)};
    if (read.certificate_pem.empty() || read.key_pem.empty())
        return false; // keep what we have: a file may be just being replaced
    if (certificates_ > 0 && !is_certificate_pair(read.certificate_pem, read.key_pem))
        return false; // one of two has been
    own_certificate_ = std::move(read);
    return take_certificate();
}

bool Endpoint::take_certificate() {
    const ClientCertificate &newest =
        programs_certificate_.certificate_pem.empty() ? own_certificate_ : programs_certificate_;
    if (newest == certificate_)
        return false;
    certificate_ = newest;
    certificates_++;
    idle_.clear(); // they have the one before
    return true;
}

void Endpoint::look_at_files() {
    FileStamps files = look_again(seen_files_);
    const bool is_complete = files == seen_files_; // nobody is writing
    seen_files_ = std::move(files);
    if (is_complete && seen_files_ != read_files_)
        read_certificate();
}

bool Endpoint::has_credentials() {
    if (!program_)
        return true;
    switch (program_->state()) {
    case ExecCredentials::State::failed:
        throw Failure(program_->problem());
    case ExecCredentials::State::awaited:
        return false;
    case ExecCredentials::State::ready:
        break;
    }
    take_over();
    return true;
}

void Endpoint::take_over() {
    if (program_->generation() == credentials_)
        return;
    const ExecCredential &credential = program_->current();
    token_ = credential.token;
    header_lists_.clear();
    programs_certificate_ = {credential.client_certificate_pem, credential.client_key_pem};
    take_certificate();
    credentials_ = program_->generation();
}

bool Endpoint::run_program() {
    if (!program_ || !program_->run())
        return false;
    take_over();
    return true;
}

Clock::time_point Endpoint::certificate_due() const noexcept {
    return programs_certificate_.certificate_pem.empty() ? Clock::time_point::max() : program_->due();
}

void Endpoint::renew_certificate() {
    program_->state();
}

bool Endpoint::refresh_credentials(const Transfer &refused) {
    if (program_)
        return program_->refuse(refused.credentials);
    if (has_old_certificate(refused) || refused.headers != headers_for(refused.request))
        return true; // they have been replaced since it was sent
    if (!connection_.token_file.empty() && read_token_file())
        return true;
    return read_certificate();
}

HeaderList Endpoint::headers_for(const Request &request) {
    HeaderKey key{request.content_type, request.accept,
                  impersonation_headers(request.impersonation ? *request.impersonation : connection_.impersonation)};
    if (header_lists_.size() >= most_header_lists && !header_lists_.contains(key))
        header_lists_.clear();
    const auto found = header_lists_.try_emplace(std::move(key)).first;
    HeaderList &list = found->second;
    if (list)
        return list;
    HeaderList fresh = append({}, "Expect:");
    fresh = append(std::move(fresh), "Accept: " + request.accept);
    // curl would send a form's type by itself.
    fresh = append(std::move(fresh),
                   request.content_type.empty() ? "Content-Type:" : "Content-Type: " + request.content_type);
    if (!host_header_.empty())
        fresh = append(std::move(fresh), host_header_);
    if (!token_.empty())
        fresh = append(std::move(fresh), "Authorization: Bearer " + token_);
    for (const std::string &line : found->first.impersonation)
        fresh = append(std::move(fresh), line);
    return list = fresh;
}

EasyHandle Endpoint::new_handle() {
    EasyHandle owned(curl_easy_init());
    CURL *handle = owned.get();
    if (handle == nullptr)
        throw std::bad_alloc();
    option(handle, CURLOPT_NOSIGNAL, 1L);
    option(handle, CURLOPT_PROTOCOLS_STR, connection_.api_url.starts_with("https") ? "https" : "http");
    option(handle, CURLOPT_USERAGENT, "dbnet/" DBNET_VERSION);
    option(handle, CURLOPT_CONNECTTIMEOUT_MS, connect_timeout_ms);
    // Who gives up waiting for a name does not wait for the thread that looks it up, either: that takes as long as the
    // resolver wants, and frees what is its own when it is done.
    option(handle, CURLOPT_QUICK_EXIT, 1L);
    option(handle, CURLOPT_PROXY, connection_.proxy_url.c_str()); // "": none, whatever the environment says
    option(handle, CURLOPT_NOPROXY, "");
    option(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    option(handle, CURLOPT_TCP_KEEPALIVE, 1L);
    option(handle, CURLOPT_TCP_KEEPIDLE, 20L);
    option(handle, CURLOPT_TCP_KEEPINTVL, 5L);
    option(handle, CURLOPT_MAXAGE_CONN, idle_connection_age);
    option(handle, CURLOPT_SOCKOPTFUNCTION, on_socket);
    option(handle, CURLOPT_WRITEFUNCTION, on_body);
    option(handle, CURLOPT_HEADERFUNCTION, on_header);
    option(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (connection_.insecure_skip_tls_verify) {
        option(handle, CURLOPT_SSL_VERIFYPEER, 0L);
        option(handle, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    pem_option(handle, CURLOPT_CAINFO_BLOB, CURLOPT_CAINFO, connection_.ca_pem, connection_.ca_file);
    if (!connection_.ca_pem.empty() || !connection_.ca_file.empty())
        option(handle, CURLOPT_CAPATH, static_cast<const char *>(nullptr)); // only the given authorities
    if (connection_.ca_pem.empty() && !connection_.ca_file.empty()) {
        // The file may be replaced at any time, and counts for whatever connection begins after that.
        option(handle, CURLOPT_CA_CACHE_TIMEOUT, 0L);
        option(handle, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    } else {
        option(handle, CURLOPT_CA_CACHE_TIMEOUT, authorities_age);
    }
    // Never by name: of two certificates that were in one file libcurl would not know that they are two, and would go
    // on with connections of the first.
    if (!certificate_.certificate_pem.empty()) {
        blob_option(handle, CURLOPT_SSLCERT_BLOB, certificate_.certificate_pem);
        blob_option(handle, CURLOPT_SSLKEY_BLOB, certificate_.key_pem);
    }
    if (connect_to_)
        option(handle, CURLOPT_CONNECT_TO, connect_to_.get());
    return owned;
}

void Endpoint::prepare(Transfer &transfer) {
    if (!connection_.token_file.empty() && Clock::now() - token_read_at_ > token_age)
        read_token_file();
    transfer.headers = headers_for(transfer.request);
    transfer.credentials = credentials_;
    transfer.certificate = certificates_;
    if (idle_.empty()) {
        transfer.handle = new_handle();
    } else {
        transfer.handle = std::move(idle_.back());
        idle_.pop_back();
    }
    CURL *handle = transfer.handle.get();
    const Request &request = transfer.request;
    const bool stream = transfer.is_stream();
    transfer.url.assign(base_url_).append(request.path);
    char mark = '?';
    if (!request.query.empty()) {
        (transfer.url += mark) += request.query;
        mark = '&';
    }
    if (!stream)
        ((transfer.url += mark) += "timeout=") += std::to_string(request.timeout.count()) + 's';
    option(handle, CURLOPT_URL, transfer.url.c_str());
    option(handle, CURLOPT_PATH_AS_IS, 1L); // as it was put together: nothing in it means the folder above
    option(handle, CURLOPT_HTTPHEADER, transfer.headers.get());
    option(handle, CURLOPT_ERRORBUFFER, transfer.curl_error);
    option(handle, CURLOPT_PRIVATE, &transfer);
    option(handle, CURLOPT_WRITEDATA, &transfer);
    option(handle, CURLOPT_HEADERDATA, &transfer);
    option(handle, CURLOPT_ACCEPT_ENCODING, request.compressed ? "gzip" : static_cast<const char *>(nullptr));
    option(handle, CURLOPT_TIMEOUT_MS,
           stream ? 0L
                  : static_cast<long>(std::chrono::milliseconds(request.timeout + transfer.answer_margin).count()));
    // libcurl by itself repeats any request when a pooled connection turns out to be closed; what must not be sent
    // twice gets a new connection. So do streams, which keep theirs for minutes.
    const bool fresh = stream || transfer.fresh_connection || !transfer.is_repeatable();
    option(handle, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
    // Of HTTP/2, requests wait for the connection that is being made instead of making one each.
    const bool shares = transfer.shares_connection();
    option(handle, CURLOPT_HTTP_VERSION, static_cast<long>(shares ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    option(handle, CURLOPT_PIPEWAIT, shares ? 1L : 0L);
    if (request.body.empty() && request.method == "GET") {
        option(handle, CURLOPT_HTTPGET, 1L);
        option(handle, CURLOPT_CUSTOMREQUEST, static_cast<const char *>(nullptr));
    } else {
        option(handle, CURLOPT_POST, 1L);
        option(handle, CURLOPT_POSTFIELDS, request.body.c_str());
        option(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        option(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
}

void Endpoint::give_back(Transfer &transfer) noexcept {
    EasyHandle handle = std::move(transfer.handle);
    if (idle_.size() >= most_idle_handles || has_old_certificate(transfer))
        return;
    // Nothing that is about to be freed may stay referenced by an idle handle.
    curl_easy_setopt(handle.get(), CURLOPT_ERRORBUFFER, nullptr);
    curl_easy_setopt(handle.get(), CURLOPT_PRIVATE, nullptr);
    try {
        idle_.push_back(std::move(handle));
    } catch (const std::bad_alloc &) {
        // The handle is freed instead of kept.
    }
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
