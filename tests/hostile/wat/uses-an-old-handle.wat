;; Uses the number of a handle that it was lent in an earlier call of the same instance. The first call is honest.
(module
  (import "archipel:host/credentials@0.1.0" "[resource-drop]local-token" (func $drop (param i32)))
  (import "archipel:host/credentials@0.1.0" "[method]local-token.account" (func $account (param i32 i32)))
  (global $kept (mut i32) (i32.const 0))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "archipel:cloud/quota@0.1.0#get-user-quota") (param i32) (result i32)
    (call $drop (local.get 0))
    (if (i32.eqz (global.get $kept))
      (then (global.set $kept (local.get 0)))
      (else (call $account (global.get $kept) (i32.const 512))))
    (i32.const 64)))
