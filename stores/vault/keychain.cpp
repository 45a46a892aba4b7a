// SPDX-License-Identifier: MIT
module;
#include <libsecret/secret.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
module latchkey.store.vault.keychain;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.core.secret;
import latchkey.store.vault.header;
import latchkey.store.vault.key_keeper;

namespace latchkey {
namespace {

using namespace std::chrono_literals;

constexpr const char* kAttribute = "vault-key";
constexpr const char* kLabel = "latchkey vault key";
constexpr const char* kContentType = "text/plain";
constexpr auto kGrace = 1s;

const SecretSchema& schema() {
  static const SecretSchema kSchema = [] {
    SecretSchema schema{};
    schema.name = "org.latchkey.VaultKey";
    schema.attributes[0] = {kAttribute, SECRET_SCHEMA_ATTRIBUTE_STRING};
    return schema;
  }();
  return kSchema;
}

struct Release {
  void operator()(gpointer object) const { g_object_unref(object); }
  void operator()(GHashTable* table) const { g_hash_table_unref(table); }
  void operator()(SecretValue* value) const { secret_value_unref(value); }
  void operator()(GList* objects) const { g_list_free_full(objects, g_object_unref); }
  void operator()(GMainContext* context) const { g_main_context_unref(context); }
};
template <class T>
using Owned = std::unique_ptr<T, Release>;

Error failed(std::string_view detail, const std::string& why) {
  return make_error(ErrorCode::locked, detail, "cannot use the keychain: " + why);
}

Error no_service() {
  return failed("keychain.no_service",
                "no secret service runs on the session bus; start one (gnome-keyring, KWallet), or "
                "use another kind of master key");
}

Error is_locked() {
  return failed(
      "keychain.locked",
      "it is locked; unlock it, by logging in to the desktop or with its own program, and "
      "try again");
}

Error timed_out() {
  return failed("keychain.timeout",
                "the secret service does not answer; see what it waits for, or restart it");
}

// Takes what a function of GLib left in its last argument.
class Fault {
 public:
  Fault() = default;
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
  ~Fault() { g_clear_error(&error_); }
  explicit operator bool() const { return error_ != nullptr; }
  GError** out() { return &error_; }

  [[nodiscard]] Error judge() const {
    for (const int absent : {G_DBUS_ERROR_SERVICE_UNKNOWN, G_DBUS_ERROR_NAME_HAS_NO_OWNER,
                             G_DBUS_ERROR_SPAWN_SERVICE_NOT_FOUND, G_DBUS_ERROR_SPAWN_CHILD_EXITED,
                             G_DBUS_ERROR_SPAWN_CHILD_SIGNALED, G_DBUS_ERROR_SPAWN_EXEC_FAILED,
                             G_DBUS_ERROR_SPAWN_FAILED}) {
      if (g_error_matches(error_, G_DBUS_ERROR, absent)) return no_service();
    }
    if (g_error_matches(error_, SECRET_ERROR, SECRET_ERROR_IS_LOCKED)) return is_locked();
    if (g_error_matches(error_, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
        g_error_matches(error_, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) ||
        g_error_matches(error_, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY) ||
        g_error_matches(error_, G_DBUS_ERROR, G_DBUS_ERROR_TIMED_OUT)) {
      return timed_out();
    }
    const std::string_view text = error_ == nullptr ? "no reason given" : error_->message;
    return failed("keychain.refused", "it says: " + printable(text, 200));
  }

 private:
  GError* error_ = nullptr;
};

// GIO would start a bus that nobody ends ("autolaunch:"), so it is asked only if there is one.
Result<void> check_bus() {
  std::string address = environment_variable("DBUS_SESSION_BUS_ADDRESS").value_or("");
  if (address.empty()) {
    if (const auto folder = environment_variable("XDG_RUNTIME_DIR")) {
      const auto path = std::filesystem::path(*folder) / "bus";
      std::error_code fault;
      if (std::filesystem::is_socket(path, fault)) address = path.string();
    }
  }
  if (!address.empty() && address.find("autolaunch:") == std::string::npos) return {};
  return failed("keychain.no_bus",
                "there is no session bus, as in ssh logins and containers; use another kind of "
                "master key there");
}

// One conversation, on the thread that holds it.
class Service {
 public:
  static Result<std::unique_ptr<Service>> connect(GCancellable* cancel) {
    auto service = std::unique_ptr<Service>(new Service(cancel));
    Fault fault;
    service->bus_.reset(g_bus_get_sync(G_BUS_TYPE_SESSION, cancel, fault.out()));
    if (!service->bus_) {
      if (g_cancellable_is_cancelled(cancel) != FALSE) return timed_out();
      return failed("keychain.no_bus",
                    "the session bus does not let us in; check DBUS_SESSION_BUS_ADDRESS, or use "
                    "another kind of master key");
    }
    // GIO would end the whole program when the bus goes away.
    g_dbus_connection_set_exit_on_close(service->bus_.get(), FALSE);
    service->proxy_.reset(secret_service_open_sync(
        SECRET_TYPE_SERVICE, nullptr, SECRET_SERVICE_OPEN_SESSION, cancel, fault.out()));
    if (!service->proxy_) return fault.judge();
    return service;
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service() {
    proxy_.reset();
    bus_.reset();
    g_main_context_pop_thread_default(context_.get());
  }

  // Every item of this name, locked ones too; secrets of unlocked ones only.
  Result<Owned<GList>> search(std::string_view name, SecretSearchFlags flags) {
    const auto attributes = attributes_of(name);
    Fault fault;
    Owned<GList> items(secret_service_search_sync(
        proxy_.get(), &schema(), attributes.get(),
        static_cast<SecretSearchFlags>(SECRET_SEARCH_ALL | flags), cancel_, fault.out()));
    if (fault) return fault.judge();
    return items;
  }

  // The default collection, unlocked.
  Result<Owned<SecretCollection>> collection() {
    Fault fault;
    Owned<SecretCollection> found(secret_collection_for_alias_sync(
        proxy_.get(), SECRET_COLLECTION_DEFAULT, SECRET_COLLECTION_NONE, cancel_, fault.out()));
    if (fault) return fault.judge();
    if (!found) {
      return failed("keychain.no_collection",
                    "it has no default keyring; create one with its own program, or use another "
                    "kind of master key");
    }
    if (secret_collection_get_locked(found.get()) != FALSE) return is_locked();
    return found;
  }

  Result<void> create(SecretCollection& where, std::string_view name, const SecretBytes& key) {
    const auto attributes = attributes_of(name);
    const SecretString text = base64url_encode_secret(key.expose());
    const Owned<SecretValue> value(
        secret_value_new(text.expose().data(), static_cast<gssize>(text.size()), kContentType));
    Fault fault;
    const Owned<SecretItem> item(
        secret_item_create_sync(&where, &schema(), attributes.get(), kLabel, value.get(),
                                SECRET_ITEM_CREATE_REPLACE, cancel_, fault.out()));
    if (!item) return fault.judge();
    return {};
  }

  Result<void> erase(SecretItem& item) {
    if (secret_item_get_locked(&item) != FALSE) return is_locked();
    Fault fault;
    if (secret_item_delete_sync(&item, cancel_, fault.out()) == FALSE) return fault.judge();
    return {};
  }

 private:
  explicit Service(GCancellable* cancel) : cancel_(cancel), context_(g_main_context_new()) {
    g_main_context_push_thread_default(context_.get());
  }
  static Owned<GHashTable> attributes_of(std::string_view name) {
    const std::string text(name);
    return Owned<GHashTable>(secret_attributes_build(&schema(), kAttribute, text.c_str(), nullptr));
  }

  GCancellable* cancel_;
  Owned<GMainContext> context_;
  Owned<GDBusConnection> bus_;
  Owned<SecretService> proxy_;
};

Result<std::optional<SecretBytes>> key_of(SecretItem& item) {
  if (secret_item_get_locked(&item) != FALSE) return is_locked();
  const Owned<SecretValue> value(secret_item_get_secret(&item));
  if (value) {
    gsize size = 0;
    const char* const text = secret_value_get(value.get(), &size);
    auto key = base64url_decode_secret({text, size});
    if (key && key->size() == kMasterKeySize) return std::optional(*std::move(key));
  }
  return make_error(ErrorCode::corrupt, "keychain.foreign",
                    "cannot use the keychain: the item kept there for this vault is no key of "
                    "latchkey's; restore it from a copy of the keychain");
}

class SecretServiceKeychain final : public KeyKeeper {
 public:
  explicit SecretServiceKeychain(KeychainOptions options) : options_(std::move(options)) {}

  Result<void> ready() override {
    return in_time<void>([](Service& service) -> Result<void> {
      auto collection = service.collection();
      if (!collection) return std::move(collection).error();
      return {};
    });
  }

  Result<std::optional<SecretBytes>> find(std::string_view name) override {
    using Found = std::optional<SecretBytes>;
    return in_time<Found>([name = std::string(name)](Service& service) -> Result<Found> {
      auto items = service.search(name, SECRET_SEARCH_LOAD_SECRETS);
      if (!items) return std::move(items).error();
      if (!*items) return Found();
      return key_of(*SECRET_ITEM((*items)->data));
    });
  }

  Result<void> keep(std::string_view name, const SecretBytes& key) override {
    // The work may outlive this call, and then the key.
    const auto copy = std::make_shared<SecretBytes>(key.clone());
    return in_time<void>([name = std::string(name), copy](Service& service) -> Result<void> {
      auto collection = service.collection();
      if (!collection) return std::move(collection).error();
      return service.create(**collection, name, *copy);
    });
  }

  Result<void> remove(std::string_view name) override {
    return in_time<void>([name = std::string(name)](Service& service) -> Result<void> {
      auto items = service.search(name, SECRET_SEARCH_NONE);
      if (!items) return std::move(items).error();
      for (const GList* each = items->get(); each != nullptr; each = each->next) {
        if (auto erased = service.erase(*SECRET_ITEM(each->data)); !erased) return erased;
      }
      return {};
    });
  }

 private:
  // Cancelling reaches everything but a prompt, which a keychain that is locked between our look
  // and our call would open; then the thread stays behind.
  template <class T>
  Result<T> in_time(std::function<Result<T>(Service&)> work) {
    if (auto bus = check_bus(); !bus) return std::move(bus).error();
    const std::shared_ptr<GCancellable> cancel(g_cancellable_new(), Release{});
    std::promise<Result<T>> promise;
    auto result = promise.get_future();
    try {
      std::thread([cancel, work = std::move(work), answer = std::move(promise)]() mutable {
        answer.set_value(converse<T>(cancel.get(), work));
      }).detach();
    } catch (const std::system_error&) {
      return make_error(ErrorCode::io, "keychain.no_thread",
                        "cannot use the keychain: there are no threads left; close other programs");
    }
    if (result.wait_for(options_.patience) == std::future_status::ready) return result.get();
    g_cancellable_cancel(cancel.get());
    if (result.wait_for(kGrace) == std::future_status::ready) return result.get();
    return timed_out();
  }

  // All of the conversation is over before the answer is given.
  template <class T>
  static Result<T> converse(GCancellable* cancel, const std::function<Result<T>(Service&)>& work) {
    auto service = Service::connect(cancel);
    if (!service) return std::move(service).error();
    return work(**service);
  }

  KeychainOptions options_;
};

}  // namespace

std::shared_ptr<KeyKeeper> secret_service_keychain(KeychainOptions options) {
  return std::make_shared<SecretServiceKeychain>(std::move(options));
}

}  // namespace latchkey
